/* SPDX-License-Identifier: ISC -- ends one expansion of messages.def; included many times. */
#undef MSG_BEGIN
#undef F_U8
#undef F_U16
#undef F_U32
#undef F_U64
#undef F_STR
#undef F_BYTES
#undef F_FD
#undef MSG_END
