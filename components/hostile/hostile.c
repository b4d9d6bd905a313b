// What a guest can do with nothing but its own instructions and results. Imports nothing.
#define OWN_REALLOC
#include "../abi.h"

#define ATTACKS(name) "trellis-samples:hostile/attacks@0.1.0#" name

static _Noreturn void loop_forever(void) {
  for (;;) __asm__ volatile("");
}

// Lengths that make the allocation of an argument itself the attack.
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
  switch (old == NULL ? new_size : 0) {
    case 6666: return (void *)0xfffffff0;
    case 6667: loop_forever();
    case 6668: __builtin_trap();
    case 6669: return NULL;
    default: return arena_realloc(old, old_size, align, new_size);
  }
}

EXPORT(ATTACKS("take")) uint32_t take(uint32_t data, uint32_t length) {
  (void)data;
  arena_reset();
  return length;
}

// --- time, memory, stack
EXPORT(ATTACKS("loop")) void loop(void) { loop_forever(); }

EXPORT(ATTACKS("spin")) uint64_t spin(uint64_t rounds) {
  uint64_t done = 0;
  while (done < rounds) {
    __asm__ volatile("" : "+r"(done));
    done++;
  }
  return done;
}

EXPORT(ATTACKS("eat-memory")) uint32_t eat_memory(uint32_t mebibytes) {
  for (uint32_t got = 0; got < mebibytes; got++) {
    const size_t page = __builtin_wasm_memory_grow(0, 16);
    if (page == (size_t)-1) return got;
    for (uint32_t i = 0; i < 16 * 65536; i += 4096) ((volatile uint8_t *)(page << 16))[i] = 1;
  }
  return mebibytes;
}

static volatile uint32_t sink;

__attribute__((noinline)) static uint32_t deeper(uint32_t depth) {
  if (depth == 0) return 0;
  const uint32_t below = deeper(depth - 1);
  sink = below; // something is left to do after the call, so it cannot become a jump
  return below + 1;
}

EXPORT(ATTACKS("recurse")) uint32_t recurse(uint32_t depth) { return deeper(depth); }

// --- traps
static volatile int32_t zero, one = 1;
static volatile float too_large = 1e30f;
static volatile uintptr_t outside = 0xfffffff0;

static uint64_t other_signature(uint64_t a, uint64_t b) { return a + b; }
static uint64_t (*volatile function)(uint64_t, uint64_t) = other_signature;

EXPORT(ATTACKS("trap")) void trap(int32_t kind) {
  switch (kind) {
    case 1: sink = (uint32_t)(one / zero); break;
    case 2: sink = *(volatile uint32_t *)outside; break;
    case 3: ((void (*)(void))outside)(); break;
    case 4: ((void (*)(void))function)(); break;
    case 5: sink = (uint32_t)__builtin_wasm_trunc_s_i32_f32(too_large); break;
    default: __builtin_trap();
  }
}

// --- results
static list_t result;

static list_t *answer(uintptr_t data, uint32_t length) {
  result = (list_t){data, length};
  return &result;
}

EXPORT("cabi_post_" ATTACKS("huge-result")) void huge_result_post(void *value) { (void)value; arena_reset(); }
EXPORT(ATTACKS("huge-result")) list_t *huge_result(uint32_t bytes) {
  return answer((uintptr_t)arena_alloc(1, bytes), bytes);
}

EXPORT("cabi_post_" ATTACKS("inflate")) void inflate_post(void *value) { (void)value; arena_reset(); }
EXPORT(ATTACKS("inflate")) list_t *inflate(uint32_t count) { return huge_result(count); }

EXPORT("cabi_post_" ATTACKS("loop-after-return")) void loop_after_return_post(void *value) {
  (void)value;
  loop_forever();
}
EXPORT(ATTACKS("loop-after-return")) list_t *loop_after_return(void) { return answer((uintptr_t) "fine", 4); }

EXPORT(ATTACKS("bad-pointer")) list_t *bad_pointer(void) { return answer(0xfffffff0, 64); }
EXPORT(ATTACKS("bad-count")) list_t *bad_count(void) { return answer(1024, 0x20000000); }
EXPORT(ATTACKS("bad-alignment")) list_t *bad_alignment(void) { return answer(1025, 1); }
EXPORT(ATTACKS("bad-text")) list_t *bad_text(void) { return answer((uintptr_t) "ab\xff\xfe", 4); }
EXPORT(ATTACKS("bad-case")) int32_t bad_case(void) { return 77; }
EXPORT(ATTACKS("bad-char")) int32_t bad_char(void) { return 0xd800; }

// --- state between calls
static uint8_t memory[256];
static uint32_t remembered;

EXPORT(ATTACKS("remember")) void remember(const uint8_t *value, uint32_t length) {
  remembered = length < sizeof memory ? length : sizeof memory;
  __builtin_memcpy(memory, value, remembered);
  arena_reset();
}
EXPORT(ATTACKS("recall")) list_t *recall(void) { return answer((uintptr_t)memory, remembered); }

// --- handles
#define BUILTINS "[export]trellis-samples:hostile/attacks@0.1.0"
IMPORT(BUILTINS, "[resource-new]token") int32_t token_handle(int32_t representation);
IMPORT(BUILTINS, "[resource-drop]token") void token_drop(int32_t handle);

EXPORT(ATTACKS("[constructor]token")) int32_t token(void) { return token_handle(1); }

EXPORT(ATTACKS("handles")) uint32_t handles(uint32_t count) {
  for (uint32_t i = 0; i < count; i++) token_handle(1);
  return count;
}

EXPORT(ATTACKS("double-drop")) void double_drop(void) {
  const int32_t handle = token_handle(1);
  token_drop(handle);
  token_drop(handle);
}

EXPORT(ATTACKS("forged-handle")) void forged_handle(void) { token_drop(12345); }
