// Names that are harmless in WIT and mean something in JavaScript. Every function returns its argument.
#include "../abi.h"

#define NAMES(name) "trellis-samples:hostile/names@0.1.0#" name

#define TEXT(id, name) \
  EXPORT("cabi_post_" NAMES(name)) void id##_post(void *value) { (void)value; arena_reset(); } \
  EXPORT(NAMES(name)) list_t *id(uint32_t data, uint32_t length) { \
    static list_t result; \
    result = (list_t){data, length}; \
    return &result; \
  }

TEXT(eval, "eval")
TEXT(then, "then")
TEXT(constructor, "constructor")
TEXT(prototype, "prototype")
TEXT(await, "await")
TEXT(delete_it, "delete")
TEXT(default_one, "default")
TEXT(instantiate, "instantiate")
TEXT(exports, "exports")
TEXT(to_string, "to-string")
TEXT(has_own_property, "has-own-property")

EXPORT("cabi_post_" NAMES("parameters")) void parameters_post(void *value) { (void)value; arena_reset(); }
EXPORT(NAMES("parameters"))
list_t *parameters(uint32_t eval_data, uint32_t eval_length, uint32_t b, uint32_t bl, uint32_t c, uint32_t cl) {
  (void)b, (void)bl, (void)c, (void)cl;
  static list_t result;
  result = (list_t){eval_data, eval_length};
  return &result;
}

EXPORT("cabi_post_" NAMES("echo-thenable")) void echo_thenable_post(void *value) { (void)value; arena_reset(); }
EXPORT(NAMES("echo-thenable"))
list_t *echo_thenable(uint32_t a, uint32_t al, uint32_t b, uint32_t bl, uint32_t c, uint32_t cl, uint32_t d, uint32_t dl,
                      uint32_t e, uint32_t el) {
  static list_t result[5];
  result[0] = (list_t){a, al};
  result[1] = (list_t){b, bl};
  result[2] = (list_t){c, cl};
  result[3] = (list_t){d, dl};
  result[4] = (list_t){e, el};
  return result;
}

EXPORT(NAMES("echo-reserved")) int32_t echo_reserved(int32_t value) { return value; }
