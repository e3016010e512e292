// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Opens a session and says how its worker is confined, or why there is none. In C++ handles are
// smart pointers.
//
//	open SOCKET MODULE
//
//	c++ -std=c++11 -o open open.cpp $(pkg-config --cflags --libs coldshoe)
#include <iostream>
#include <memory>
#include <stdexcept>

#include "coldshoe.h"

struct Free {
	void operator()(coldshoe_session *session) const { coldshoe_session_free(session); }
	void operator()(coldshoe_error *error) const { coldshoe_error_free(error); }
};

using Session = std::unique_ptr<coldshoe_session, Free>;

// Turns an error into an exception.
static void check(int status, coldshoe_error *error)
{
	std::unique_ptr<coldshoe_error, Free> owned(error);
	if (status < 0)
		throw std::runtime_error(coldshoe_error_message(error));
}

static Session open_session(const char *socket, const char *module)
{
	coldshoe_open open = coldshoe_open();
	open.struct_size = sizeof(open);
	open.socket = socket;
	open.module = module;
	open.camera = "virtual";
	open.stats_format = "coldshoe-stats-1";
	open.params_format = "coldshoe-soft";

	coldshoe_session *session = nullptr;
	coldshoe_error *error = nullptr;
	const int status = coldshoe_session_open(&open, &session, &error);
	check(status, error);
	return Session(session);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		std::cerr << "usage: open SOCKET MODULE\n";
		return 2;
	}
	try {
		const Session session = open_session(argv[1], argv[2]);
		coldshoe_info info = coldshoe_info();
		info.struct_size = sizeof(info);
		coldshoe_error *error = nullptr;
		const int status = coldshoe_session_info(session.get(), &info, &error);
		check(status, error);
		std::cout << info.module_name << " from " << info.module_path << '\n'
			  << info.confinement << '\n';
	} catch (const std::exception &failure) {
		std::cerr << "open: " << failure.what() << '\n';
		return 1;
	}
	return 0;
}
