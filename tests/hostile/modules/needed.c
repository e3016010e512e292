/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Row 43: a library that a hostile module brings along, found beside it through its search path. */
int brought_along(void);

int brought_along(void)
{
	return 42;
}
