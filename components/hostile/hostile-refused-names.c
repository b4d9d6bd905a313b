// Names of which jco makes JavaScript that cannot be loaded.
#include "../abi.h"

#define NAMES(name) "trellis-samples:hostile/refused-names@0.1.0#" name

#define TEXT(id, name) \
  EXPORT("cabi_post_" NAMES(name)) void id##_post(void *value) { (void)value; arena_reset(); } \
  EXPORT(NAMES(name)) list_t *id(uint32_t data, uint32_t length) { \
    static list_t result; \
    result = (list_t){data, length}; \
    return &result; \
  }

TEXT(arguments, "arguments")
TEXT(memory0, "memory0")
