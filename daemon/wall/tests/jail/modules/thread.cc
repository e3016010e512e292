// A constructor that starts a thread.
#include <thread>

static int joined;

__attribute__((constructor)) static void start()
{
    std::thread([] { joined = 42; }).join();
}

extern "C" int run()
{
    return joined;
}
