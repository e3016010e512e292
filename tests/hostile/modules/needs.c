/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Row 43: the module that needs needed.c. */
#include "probe.h"

int brought_along(void);

PROBE(call_library)
{
	return brought_along();
}
