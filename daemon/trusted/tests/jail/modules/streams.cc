// C++: static constructors, streams, containers, exceptions.
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "table.h"

static std::map<std::string, int> table = {{"answer", 0}};

static int work()
{
	std::vector<double> sum(1 << 18, 1.0);
	std::ostringstream text;
	text << sum.size() << ' ' << 0.5;
	std::cout << "streams: " << text.str() << std::endl;
	try {
		table.at("question");
	} catch (const std::out_of_range &) {
		return table.at("answer");
	}
	return -1;
}

static int frame()
{
	return work();
}
