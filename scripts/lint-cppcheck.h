/* SPDX-License-Identifier: ISC
 * Macros of foreign headers that look like statements: cppcheck reads no system headers. Included by scripts/lint only. */
#define json_array_foreach(array, i, value) \
	for (i = 0; (value = json_array_get(array, i)) != 0; i++)
#define json_object_foreach(object, key, value) \
	for (key = ""; (value = json_object_get(object, key)) != 0; key = next(object, key))
