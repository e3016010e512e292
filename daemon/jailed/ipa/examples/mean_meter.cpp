// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// A module in C++: exposure from the mean of the luminance histogram of coldshoe-stats-1, colours
// untouched. Exceptions stay inside: they must not cross the C interface.
//
//	c++ -shared -fPIC -I../include -o mean-meter.so mean_meter.cpp

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "coldshoe_ipa.h"

namespace {

constexpr double target = 0.16; // of full scale, linear
constexpr std::size_t histogramAt = 6208, bins = 256;

class MeanMeter
{
public:
	explicit MeanMeter(const coldshoe_ipa_host *host) : host_(host) {}

	void configure(const coldshoe_ipa_sensor &sensor)
	{
		if (sensor.max_exposure_us <= 0)
			throw std::invalid_argument("the sensor has no exposure range");
		sensor_ = sensor;
	}

	double exposure(const coldshoe_ipa_frame_in &in) const
	{
		const double mean = luminance(in);
		const double gain = mean > 0 ? std::clamp(target / mean, 0.25, 4.0) : 4.0;
		return std::clamp(in.applied.exposure_us * gain, sensor_.min_exposure_us,
				  sensor_.max_exposure_us);
	}

	void log(const std::string &text) const
	{
		host_->log(host_->context, COLDSHOE_IPA_LOG_ERROR, text.c_str());
	}

private:
	static double luminance(const coldshoe_ipa_frame_in &in)
	{
		if (in.stats_size < histogramAt + bins * sizeof(uint32_t))
			throw std::length_error("the statistics are shorter than coldshoe-stats-1");
		std::vector<uint32_t> histogram(bins);
		std::memcpy(histogram.data(), in.stats + histogramAt, bins * sizeof(uint32_t));
		double sum = 0, cells = 0;
		for (std::size_t bin = 0; bin < bins; bin++) {
			sum += histogram[bin] * (bin + 0.5) / bins;
			cells += histogram[bin];
		}
		return cells > 0 ? sum / cells : 0;
	}

	const coldshoe_ipa_host *host_;
	coldshoe_ipa_sensor sensor_{};
};

// What every verb does: call, and turn an exception into a logged error.
template<typename Verb> int32_t guarded(void *instance, Verb verb)
{
	auto *self = static_cast<MeanMeter *>(instance);
	try {
		verb(*self);
		return 0;
	} catch (const std::exception &error) {
		self->log(error.what());
		return -EINVAL;
	}
}

int32_t create(const coldshoe_ipa_init *init, void **instance)
{
	try {
		*instance = std::make_unique<MeanMeter>(init->host).release();
		return 0;
	} catch (const std::exception &) {
		return -ENOMEM;
	}
}

int32_t configure(void *instance, const coldshoe_ipa_sensor *sensor)
{
	return guarded(instance, [&](MeanMeter &self) { self.configure(*sensor); });
}

int32_t nothing(void *)
{
	return 0;
}

int32_t process(void *instance, const coldshoe_ipa_frame_in *in, coldshoe_ipa_frame_out *out)
{
	return guarded(instance, [&](MeanMeter &self) {
		if (!in->stats)
			return;
		out->wanted.set = COLDSHOE_IPA_WANT_EXPOSURE;
		out->wanted.exposure_us = self.exposure(*in);
		out->metadata.ae_state = COLDSHOE_IPA_STATE_SEARCHING;
	});
}

void destroy(void *instance)
{
	delete static_cast<MeanMeter *>(instance);
}

const coldshoe_ipa_format formats[] = {
	{ "coldshoe-stats-1", "coldshoe-soft", 1 << 1 },
	{ nullptr, nullptr, 0 },
};

const struct coldshoe_ipa_module module = {
	sizeof(struct coldshoe_ipa_module),
	COLDSHOE_IPA_ABI_VERSION,
	"mean-meter",
	"1.0",
	"Apache-2.0 OR MIT",
	0,
	formats,
	create,
	configure,
	nothing,
	process,
	nothing,
	destroy,
	nullptr,
	nullptr,
};

} // namespace

const struct coldshoe_ipa_module *coldshoe_ipa_module()
{
	return &module;
}
