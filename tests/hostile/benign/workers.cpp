// SPDX-License-Identifier: Apache-2.0 OR MIT
// Threads of the C++ library. It does not say so in its flags: only `threaded` bears it.
#define MODULE_NAME "benign-workers"
#define MODULE_FLAGS 0
#include "skeleton.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

static int work(char *why, size_t size)
{
	try {
		std::mutex mutex;
		std::condition_variable done;
		std::vector<std::thread> threads;
		int ready = 0;

		for (int i = 0; i < 4; i++)
			threads.emplace_back([&] {
				std::vector<char> own(1 << 20, 1);
				std::lock_guard<std::mutex> lock(mutex);
				ready += own[own.size() / 2];
				done.notify_one();
			});
		{
			std::unique_lock<std::mutex> lock(mutex);
			done.wait(lock, [&] { return ready == 4; });
		}
		for (auto &thread : threads)
			thread.join();
		return 0;
	} catch (const std::exception &error) {
		snprintf(why, size, "%s", error.what());
		return -1;
	}
}
