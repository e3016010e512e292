// C++: threads in create() and in each frame.
#include <atomic>
#include <thread>
#include <vector>

#define THREADS
#include "table.h"

static int work()
{
	std::atomic<int> sum{0};
	std::vector<std::thread> threads;
	for (int i = 0; i < 3; i++)
		threads.emplace_back([&sum] { sum += 14; });
	for (auto &thread : threads)
		thread.join();
	return sum == 42 ? 0 : -1;
}

static int frame()
{
	return work();
}
