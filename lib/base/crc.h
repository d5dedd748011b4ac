/* SPDX-License-Identifier: ISC */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli), RFC 3720 appendix B.4. Start with 0; pass the former result to go on. Uses SSE 4.2 if present. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without the processor's instruction, for machines that lack it and for the test that compares both. */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
