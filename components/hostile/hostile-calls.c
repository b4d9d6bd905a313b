// Calls out: many at once in a row, and in circles.
#include "../abi.h"

IMPORT("trellis-samples:hello/greeting@0.1.0", "greet") void greet(const uint8_t *name, uint32_t length, list_t *answer);
IMPORT("trellis-samples:hostile/bounce@0.1.0", "bounce") uint32_t bounce_on(uint32_t left);

EXPORT("trellis-samples:hostile/calls@0.1.0#storm") uint32_t storm(uint32_t count, uint32_t name_bytes) {
  uint8_t *name = arena_alloc(1, name_bytes);
  for (uint32_t i = 0; i < name_bytes; i++) name[i] = 'x';
  const uintptr_t start = arena_top;
  uint32_t right = 0;
  for (uint32_t i = 0; i < count; i++) {
    list_t answer;
    greet(name, name_bytes, &answer);
    right += answer.length > name_bytes;
    arena_top = start;
  }
  arena_reset();
  return right;
}

EXPORT("trellis-samples:hostile/bounce@0.1.0#bounce") uint32_t bounce(uint32_t left) {
  return left == 0 ? 0 : bounce_on(left - 1) + 1;
}
