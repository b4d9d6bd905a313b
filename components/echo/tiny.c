// One function: what a host adds to a call is all there is to measure.
#include "../abi.h"

#define ECHO_BYTES "trellis-samples:echo/bytes@0.1.0#echo-bytes"

EXPORT("cabi_post_" ECHO_BYTES) void echo_bytes_post(void *result) { (void)result; arena_reset(); }

EXPORT(ECHO_BYTES) list_t *echo_bytes(uint32_t data, uint32_t length) {
  static list_t result;
  result = (list_t){data, length};
  return &result;
}
