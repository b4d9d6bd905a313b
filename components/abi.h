// What a component written in C without a C library needs: memory for arguments, and names for exports.
//
// Layouts need no code of their own: on wasm32 a C struct is laid out as the component model lays out the record, and a
// struct of a tag and a union as it lays out the variant. Arguments of up to sixteen flat values arrive one by one, in
// declaration order; more arrive as a pointer. A result of more than one flat value is returned as a pointer.
#pragma once

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

typedef struct { uint32_t data, length; } list_t; // also a string

extern uint8_t __heap_base;

static uintptr_t arena_top;

/// Memory of one call: grows while the host stores arguments, dropped as a whole when the call is over.
static inline void arena_reset(void) { arena_top = (uintptr_t)&__heap_base; }

static void *arena_alloc(size_t align, size_t size) {
  if (arena_top == 0) arena_reset();
  const uintptr_t start = (arena_top + align - 1) & ~(uintptr_t)(align - 1);
  const uintptr_t end = start + size;
  if (end < start) __builtin_trap();
  const uintptr_t have = __builtin_wasm_memory_size(0) << 16;
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) == (size_t)-1) __builtin_trap();
  arena_top = end;
  return (void *)start;
}

static void *arena_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
  if (old != NULL && new_size <= old_size) return old;
  void *moved = arena_alloc(align, new_size);
  if (old != NULL) __builtin_memcpy(moved, old, old_size);
  return moved;
}

/// The host calls this to place arguments, and the results of imports.
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t new_size);
#ifndef OWN_REALLOC
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
  return arena_realloc(old, old_size, align, new_size);
}
#endif
