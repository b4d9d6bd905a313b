// The synchronous echo component. Results point into the memory the host filled with the arguments, so nothing is
// copied here: a result of several flat values is put together in a static struct, and the call's memory is dropped
// in the function's post-return.
#include "../abi.h"

#define VALUES(name) "trellis-samples:echo/values@0.1.0#" name
#define COUNTERS(name) "trellis-samples:echo/counters@0.1.0#" name

// A function whose argument and result are one flat value.
#define FLAT(id, name, type) \
  EXPORT(VALUES(name)) type id(type value) { return value; }

// A function with a result in memory: `id_post` runs when the host has read it.
#define IN_MEMORY(id, name) \
  EXPORT("cabi_post_" VALUES(name)) void id##_post(void *result) { (void)result; arena_reset(); } \
  EXPORT(VALUES(name))

// Lists of anything: address and count.
#define LIST(id, name) \
  IN_MEMORY(id, name) list_t *id(uint32_t data, uint32_t length) { \
    static list_t result; \
    result = (list_t){data, length}; \
    return &result; \
  }

FLAT(echo_bool, "echo-bool", int32_t)
FLAT(echo_u8, "echo-u8", int32_t)
FLAT(echo_s8, "echo-s8", int32_t)
FLAT(echo_u16, "echo-u16", int32_t)
FLAT(echo_s16, "echo-s16", int32_t)
FLAT(echo_u32, "echo-u32", int32_t)
FLAT(echo_s32, "echo-s32", int32_t)
FLAT(echo_u64, "echo-u64", int64_t)
FLAT(echo_s64, "echo-s64", int64_t)
FLAT(echo_f32, "echo-f32", float)
FLAT(echo_f64, "echo-f64", double)
FLAT(echo_char, "echo-char", int32_t)
FLAT(echo_color, "echo-color", int32_t)
FLAT(echo_access, "echo-access", int32_t)
FLAT(echo_seventeen, "echo-seventeen", int32_t)
FLAT(echo_thirty_two, "echo-thirty-two", int32_t)
FLAT(echo_result_empty, "echo-result-empty", int32_t)

LIST(echo_string, "echo-string")
LIST(echo_bytes, "echo-bytes")
LIST(echo_u16s, "echo-u16s")
LIST(echo_u32s, "echo-u32s")
LIST(echo_s64s, "echo-s64s")
LIST(echo_f64s, "echo-f64s")
LIST(echo_bools, "echo-bools")
LIST(echo_chars, "echo-chars")
LIST(echo_strings, "echo-strings")
LIST(echo_string_lists, "echo-string-lists")
LIST(echo_records, "echo-records")
LIST(echo_shapes, "echo-shapes")
LIST(echo_options, "echo-options")
LIST(echo_fields, "echo-fields")

typedef struct { int32_t x, y; } point_t;
typedef struct { uint8_t some; point_t value; } option_point_t;
typedef struct { list_t name; uint8_t age; list_t tags; option_point_t home; } person_t;

IN_MEMORY(echo_point, "echo-point") point_t *echo_point(int32_t x, int32_t y) {
  static point_t result;
  result = (point_t){x, y};
  return &result;
}

IN_MEMORY(echo_person, "echo-person")
person_t *echo_person(uint32_t name, uint32_t name_length, int32_t age, uint32_t tags, uint32_t tag_count,
                      int32_t some, int32_t x, int32_t y) {
  static person_t result;
  result = (person_t){{name, name_length}, (uint8_t)age, {tags, tag_count}, {(uint8_t)some, {x, y}}};
  return &result;
}

// The argument already lies in memory the way the result must.
IN_MEMORY(echo_measurements, "echo-measurements") void *echo_measurements(void *value) { return value; }

typedef struct {
  uint8_t tag;
  union { uint32_t count; uint64_t total; float ratio; double exact; list_t label; point_t at; uint32_t letter; };
} shape_t;

static float f32_of(uint32_t bits) { float value; __builtin_memcpy(&value, &bits, 4); return value; }
static double f64_of(uint64_t bits) { double value; __builtin_memcpy(&value, &bits, 8); return value; }

// The first slot holds whichever of i32, i64, f32 and f64 the case needs, so it is an i64.
IN_MEMORY(echo_shape, "echo-shape") shape_t *echo_shape(int32_t tag, int64_t first, int32_t second) {
  static shape_t result;
  result.tag = (uint8_t)tag;
  switch (tag) {
    case 1: result.count = (uint32_t)first; break;
    case 2: result.total = (uint64_t)first; break;
    case 3: result.ratio = f32_of((uint32_t)first); break;
    case 4: result.exact = f64_of((uint64_t)first); break;
    case 5: result.label = (list_t){(uint32_t)first, (uint32_t)second}; break;
    case 6: result.at = (point_t){(int32_t)first, second}; break;
    case 7: result.letter = (uint32_t)first; break;
    default: break;
  }
  return &result;
}

typedef struct { uint8_t some; uint32_t value; } option_u32_t;
typedef struct { uint8_t tag; list_t value; } tagged_list_t; // option<string>, result<_, string>
typedef struct { uint8_t tag; union { uint32_t number; list_t text; }; } result_u32_string_t;
typedef struct { uint8_t tag; union { uint8_t truth; list_t text; }; } result_bool_string_t;

IN_MEMORY(echo_option, "echo-option") option_u32_t *echo_option(int32_t some, uint32_t value) {
  static option_u32_t result;
  result = (option_u32_t){(uint8_t)some, value};
  return &result;
}

IN_MEMORY(echo_option_string, "echo-option-string")
tagged_list_t *echo_option_string(int32_t some, uint32_t data, uint32_t length) {
  static tagged_list_t result;
  result = (tagged_list_t){(uint8_t)some, {data, length}};
  return &result;
}

IN_MEMORY(echo_option_option, "echo-option-option")
uint8_t *echo_option_option(int32_t outer, int32_t inner, int32_t value) {
  static uint8_t result[3];
  result[0] = (uint8_t)outer;
  result[1] = (uint8_t)inner;
  result[2] = (uint8_t)value;
  return result;
}

IN_MEMORY(echo_result_value, "echo-result-value")
result_u32_string_t *echo_result_value(int32_t tag, uint32_t first, uint32_t second) {
  static result_u32_string_t result;
  result.tag = (uint8_t)tag;
  result.text = (list_t){first, second}; // the number, if it is one, shares the first slot
  return &result;
}

IN_MEMORY(echo_result, "echo-result")
result_bool_string_t *echo_result(int32_t tag, uint32_t first, uint32_t second) {
  static result_bool_string_t result;
  result.tag = (uint8_t)tag;
  if (tag == 0) result.truth = (uint8_t)first;
  else result.text = (list_t){first, second};
  return &result;
}

IN_MEMORY(echo_result_unit, "echo-result-unit")
tagged_list_t *echo_result_unit(int32_t tag, uint32_t data, uint32_t length) {
  return echo_option_string(tag, data, length);
}

typedef struct {
  uint8_t tag;
  union {
    tagged_list_t bytes;
    tagged_list_t error;
  };
} result_kv_t;

IN_MEMORY(echo_result_kv, "echo-result-kv")
result_kv_t *echo_result_kv(int32_t tag, int32_t inner, uint32_t data, uint32_t length) {
  static result_kv_t result;
  result.tag = (uint8_t)tag;
  result.bytes = (tagged_list_t){(uint8_t)inner, {data, length}};
  return &result;
}

typedef struct {
  uint8_t a; uint16_t b; uint32_t c; uint64_t d; int8_t e; int16_t f; int32_t g; int64_t h; float i; double j;
} tuple_t;

IN_MEMORY(echo_tuple, "echo-tuple")
tuple_t *echo_tuple(int32_t a, int32_t b, int32_t c, int64_t d, int32_t e, int32_t f, int32_t g, int64_t h, float i,
                    double j) {
  static tuple_t result;
  result = (tuple_t){(uint8_t)a, (uint16_t)b, (uint32_t)c, (uint64_t)d, (int8_t)e, (int16_t)f, g, h, i, j};
  return &result;
}

typedef struct { list_t name; uint64_t count; tagged_list_t note; } three_t;

IN_MEMORY(echo_three, "echo-three")
three_t *echo_three(uint32_t name, uint32_t name_length, uint64_t count, int32_t some, uint32_t note,
                    uint32_t note_length) {
  static three_t result;
  result = (three_t){{name, name_length}, count, {(uint8_t)some, {note, note_length}}};
  return &result;
}

EXPORT(VALUES("sum")) uint64_t sum(const uint32_t *numbers) {
  uint64_t total = 0;
  for (int i = 0; i < 17; i++) total += numbers[i];
  arena_reset();
  return total;
}

EXPORT(VALUES("answer")) int32_t answer(void) { return 42; }
EXPORT(VALUES("nothing")) void nothing(void) {}
EXPORT(VALUES("discard")) void discard(uint32_t data, uint32_t length) { (void)data; (void)length; arena_reset(); }

// World level.
EXPORT("cabi_post_shout") void shout_post(void *result) { (void)result; arena_reset(); }
EXPORT("shout") list_t *shout(uint8_t *text, uint32_t length) {
  static list_t result;
  for (uint32_t i = 0; i < length; i++)
    if (text[i] >= 'a' && text[i] <= 'z') text[i] -= 'a' - 'A';
  result = (list_t){(uint32_t)text, length};
  return &result;
}

// Counters: the representation behind a handle is a place in this table. Place 0 stays empty, because jco takes the
// representation 0 for a handle that was dropped.
#define COUNTER_LIMIT 1024
static uint32_t counters[COUNTER_LIMIT];
static bool taken[COUNTER_LIMIT];

IMPORT("[export]trellis-samples:echo/counters@0.1.0", "[resource-new]counter") int32_t counter_handle(int32_t place);
IMPORT("[export]trellis-samples:echo/counters@0.1.0", "[resource-rep]counter") int32_t counter_place(int32_t handle);
IMPORT("[export]trellis-samples:echo/counters@0.1.0", "[resource-drop]counter") void counter_drop(int32_t handle);

static int32_t new_counter(uint32_t value) {
  for (int32_t place = 1; place < COUNTER_LIMIT; place++) {
    if (taken[place]) continue;
    taken[place] = true;
    counters[place] = value;
    return counter_handle(place);
  }
  __builtin_trap();
}

static uint32_t use_up(int32_t handle) {
  const uint32_t value = counters[counter_place(handle)];
  counter_drop(handle);
  return value;
}

EXPORT(COUNTERS("[dtor]counter")) void counter_dtor(int32_t place) { taken[place] = false; }
EXPORT(COUNTERS("[constructor]counter")) int32_t counter_new(uint32_t start) { return new_counter(start); }
EXPORT(COUNTERS("[method]counter.up")) uint32_t counter_up(int32_t place, uint32_t by) { return counters[place] += by; }
EXPORT(COUNTERS("[method]counter.value")) uint32_t counter_value(int32_t place) { return counters[place]; }
EXPORT(COUNTERS("[static]counter.merge")) int32_t counter_merge(int32_t a, int32_t b) {
  return new_counter(use_up(a) + use_up(b));
}
// A borrowed handle of an own resource arrives as the place itself.
EXPORT(COUNTERS("peek")) uint32_t peek(int32_t place) { return counters[place]; }
EXPORT(COUNTERS("finish")) uint32_t finish(int32_t handle) { return use_up(handle); }
EXPORT(COUNTERS("pass")) int32_t pass(int32_t handle) { return handle; }
