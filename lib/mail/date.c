/* SPDX-License-Identifier: ISC
 *
 * The date of a header field. Written in UTC: the server's processes see no time zone file, and every reader converts.
 * No I/O, no locale. Used by smtpd (Received) and qmgr (failure reports).                      RFC 5322 3.3 */

/* System */
#include <stdio.h>
/* lib */
#include "mail/date.h"

/* Day number since 1970-01-01 to civil date; years begin in March, so that the leap day comes last. */
static void
civil_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = z / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

void
date_format(uint64_t wall_us, char out[DATE_TEXT_MAX])
{
	static const char day_names[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
						 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	const uint64_t last_s = 253402300799; /* end of the year 9999 */
	uint64_t s = wall_us / 1000000 < last_s ? wall_us / 1000000 : last_s;
	int year, month, day;

	civil_from_days((int64_t)(s / 86400), &year, &month, &day);
	snprintf(out, DATE_TEXT_MAX, "%s, %d %s %04d %02d:%02d:%02d +0000",
		 day_names[s / 86400 % 7], day, month_names[month - 1], year, (int)(s / 3600 % 24),
		 (int)(s / 60 % 60), (int)(s % 60));
}
