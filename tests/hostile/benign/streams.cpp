// SPDX-License-Identifier: Apache-2.0 OR MIT
// C++ with streams, containers and exceptions.
#define MODULE_NAME "benign-streams"
#define MODULE_FLAGS 0
#include "skeleton.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

static int work(char *why, size_t size)
{
	try {
		std::vector<int> values(10000);
		std::map<std::string, int> names;
		std::ostringstream text;

		for (size_t i = 0; i < values.size(); i++)
			values[i] = int(values.size() - i);
		std::sort(values.begin(), values.end());
		names["smallest"] = values.front();
		text << names.begin()->first << " " << names.begin()->second;
		std::cout << text.str() << std::endl;
		std::cerr << "on stderr " << 1.5 << std::endl;
		if (text.str() != "smallest 1")
			throw std::logic_error(text.str());
		try {
			(void)values.at(values.size());
		} catch (const std::out_of_range &expected) {
			throw std::runtime_error(expected.what());
		}
		snprintf(why, size, "nothing was thrown");
		return -1;
	} catch (const std::runtime_error &) {
		return 0;
	} catch (const std::exception &error) {
		snprintf(why, size, "%s", error.what());
		return -1;
	}
}
