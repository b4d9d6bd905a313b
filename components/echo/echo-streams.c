// The asynchronous echo component. The `echo-` functions hand the handle they were given back. The other functions read
// and write for themselves, in the callback form of the canonical ABI: a task runs until an operation blocks, returns
// the set it waits for, and goes on when the host calls its callback with what happened.
#include "../abi.h"

#define STREAMS(name) "trellis-samples:echo/streams@0.1.0#" name
#define BUILTINS "[export]trellis-samples:echo/streams@0.1.0"

static uint32_t active; // tasks and results that still need the call's memory

static void call_over(void) {
  if (active == 0) arena_reset();
}

// A function whose argument and result are one flat value: here, a handle.
#define HANDLE(id, name) \
  EXPORT(STREAMS(name)) int32_t id(int32_t value) { return value; }

HANDLE(echo_bytes, "echo-bytes")
HANDLE(echo_numbers, "echo-numbers")
HANDLE(echo_strings, "echo-strings")
HANDLE(echo_future, "echo-future")

typedef struct { int32_t body, trailers; list_t path, headers; } message_t;
typedef struct { uint8_t tag; union { struct { int32_t data, status; }; list_t error; }; } blob_t;
typedef struct { uint8_t some; int32_t value; } maybe_t;

EXPORT("cabi_post_" STREAMS("echo-message")) void echo_message_post(message_t *result) { (void)result; call_over(); }
EXPORT(STREAMS("echo-message"))
message_t *echo_message(int32_t body, int32_t trailers, uint32_t path, uint32_t path_length, uint32_t headers,
                        uint32_t header_count) {
  static message_t result;
  result = (message_t){body, trailers, {path, path_length}, {headers, header_count}};
  return &result;
}

EXPORT("cabi_post_" STREAMS("echo-blob")) void echo_blob_post(blob_t *result) { (void)result; call_over(); }
EXPORT(STREAMS("echo-blob")) blob_t *echo_blob(int32_t tag, int32_t first, int32_t second) {
  static blob_t result;
  result.tag = (uint8_t)tag;
  result.data = first; // handles or the error's address and length: both cases fill the same two slots
  result.status = second;
  return &result;
}

EXPORT(STREAMS("echo-maybe")) maybe_t *echo_maybe(int32_t some, int32_t value) {
  static maybe_t result;
  result = (maybe_t){(uint8_t)some, value};
  return &result;
}

// --- the built-in functions of the component model
#define STREAM_BUILTINS(of) \
  IMPORT(BUILTINS, "[async-lower][stream-read-0]" of) uint32_t stream_read(uint32_t readable, void *buffer, uint32_t count); \
  IMPORT(BUILTINS, "[async-lower][stream-write-0]" of) uint32_t stream_write(uint32_t writable, void *buffer, uint32_t count); \
  IMPORT(BUILTINS, "[stream-new-0]" of) uint64_t stream_new(void); \
  IMPORT(BUILTINS, "[stream-drop-readable-0]" of) void stream_drop_readable(uint32_t readable); \
  IMPORT(BUILTINS, "[stream-drop-writable-0]" of) void stream_drop_writable(uint32_t writable);
STREAM_BUILTINS("copy-bytes")

IMPORT("$root", "[waitable-set-new]") uint32_t waitable_set_new(void);
IMPORT("$root", "[waitable-set-drop]") void waitable_set_drop(uint32_t set);
IMPORT("$root", "[waitable-join]") void waitable_join(uint32_t waitable, uint32_t set);
IMPORT("$root", "[context-get-0]") void *context_get(void);
IMPORT("$root", "[context-set-0]") void context_set(void *value);

IMPORT(BUILTINS, "[task-return]copy-bytes") void return_copy_bytes(uint32_t readable);
IMPORT(BUILTINS, "[task-return]count-bytes") void return_count_bytes(uint64_t count);
IMPORT(BUILTINS, "[task-return]make-bytes") void return_make_bytes(uint32_t readable);
IMPORT(BUILTINS, "[task-return]echo-later") void return_echo_later(uint32_t data, uint32_t length);

// What an operation answers: not yet, or how many elements were moved and whether the other end is gone.
#define BLOCKED UINT32_MAX
#define COUNT(status) ((status) >> 4)
#define OTHER_END_DROPPED(status) (((status) & 15) == 1)

// What a task answers.
#define EXIT 0
#define WAIT_FOR(set) (2 | (set) << 4)

enum event { EVENT_STREAM_READ = 2, EVENT_STREAM_WRITE = 3 };

// --- tasks
typedef struct {
  bool taken;
  bool source_ended;
  uint32_t set, readable, writable; // 0 where the task has none
  uint32_t filled, written;         // bytes in the buffer, and how many of them were passed on
  uint64_t total, wanted;
  uint8_t buffer[4096];
} task_t;

#define TASK_LIMIT 16
static task_t tasks[TASK_LIMIT];

static task_t *new_task(uint32_t readable, uint32_t writable) {
  for (task_t *task = tasks; task < tasks + TASK_LIMIT; task++) {
    if (task->taken) continue;
    *task = (task_t){.taken = true, .readable = readable, .writable = writable, .set = waitable_set_new()};
    active++;
    context_set(task);
    return task;
  }
  __builtin_trap();
}

static uint32_t finish(task_t *task) {
  if (task->readable) waitable_join(task->readable, 0), stream_drop_readable(task->readable);
  if (task->writable) waitable_join(task->writable, 0), stream_drop_writable(task->writable);
  waitable_set_drop(task->set);
  task->taken = false;
  active--;
  call_over();
  return EXIT;
}

static uint32_t wait_for(task_t *task, uint32_t waitable) {
  waitable_join(waitable, task->set);
  return WAIT_FOR(task->set);
}

static void was_read(task_t *task, uint32_t status) {
  task->filled = COUNT(status);
  task->written = 0;
  task->total += COUNT(status);
  task->source_ended = OTHER_END_DROPPED(status);
}

/// False if nobody reads any more.
static bool was_written(task_t *task, uint32_t status) {
  task->written += COUNT(status);
  return !OTHER_END_DROPPED(status);
}

// copy-bytes: fill the buffer, empty it, until the source ends or nobody reads.
static uint32_t copy(task_t *task) {
  for (;;) {
    while (task->written < task->filled) {
      const uint32_t status = stream_write(task->writable, task->buffer + task->written, task->filled - task->written);
      if (status == BLOCKED) return wait_for(task, task->writable);
      if (!was_written(task, status)) return finish(task);
    }
    if (task->source_ended) return finish(task);
    const uint32_t status = stream_read(task->readable, task->buffer, sizeof task->buffer);
    if (status == BLOCKED) return wait_for(task, task->readable);
    was_read(task, status);
  }
}

EXPORT("[async-lift]" STREAMS("copy-bytes")) uint32_t copy_bytes(uint32_t source) {
  const uint64_t ends = stream_new();
  task_t *task = new_task(source, (uint32_t)(ends >> 32));
  return_copy_bytes((uint32_t)ends);
  return copy(task);
}

EXPORT("[callback][async-lift]" STREAMS("copy-bytes"))
uint32_t copy_bytes_event(enum event event, uint32_t waitable, uint32_t status) {
  (void)waitable;
  task_t *task = context_get();
  if (event == EVENT_STREAM_READ) was_read(task, status);
  else if (event == EVENT_STREAM_WRITE && !was_written(task, status)) return finish(task);
  return copy(task);
}

// count-bytes
static uint32_t count(task_t *task) {
  while (!task->source_ended) {
    const uint32_t status = stream_read(task->readable, task->buffer, sizeof task->buffer);
    if (status == BLOCKED) return wait_for(task, task->readable);
    was_read(task, status);
  }
  return_count_bytes(task->total);
  return finish(task);
}

EXPORT("[async-lift]" STREAMS("count-bytes")) uint32_t count_bytes(uint32_t source) { return count(new_task(source, 0)); }

EXPORT("[callback][async-lift]" STREAMS("count-bytes"))
uint32_t count_bytes_event(enum event event, uint32_t waitable, uint32_t status) {
  (void)waitable;
  task_t *task = context_get();
  if (event == EVENT_STREAM_READ) was_read(task, status);
  return count(task);
}

// make-bytes: the buffer holds sixteen times 0 to 255, so it may be sent again from any multiple of 256.
static uint32_t make(task_t *task) {
  while (task->total < task->wanted) {
    const uint64_t rest = task->wanted - task->total;
    const uint32_t room = sizeof task->buffer - task->written;
    const uint32_t length = rest < room ? (uint32_t)rest : room;
    const uint32_t status = stream_write(task->writable, task->buffer + task->written, length);
    if (status == BLOCKED) return wait_for(task, task->writable);
    if (!was_written(task, status)) return finish(task);
    task->total += COUNT(status);
    task->written %= 256;
  }
  return finish(task);
}

EXPORT("[async-lift]" STREAMS("make-bytes")) uint32_t make_bytes(uint64_t wanted) {
  const uint64_t ends = stream_new();
  task_t *task = new_task(0, (uint32_t)(ends >> 32));
  task->wanted = wanted;
  for (uint32_t i = 0; i < sizeof task->buffer; i++) task->buffer[i] = (uint8_t)i;
  return_make_bytes((uint32_t)ends);
  return make(task);
}

EXPORT("[callback][async-lift]" STREAMS("make-bytes"))
uint32_t make_bytes_event(enum event event, uint32_t waitable, uint32_t status) {
  (void)waitable;
  task_t *task = context_get();
  if (event == EVENT_STREAM_WRITE) {
    if (!was_written(task, status)) return finish(task);
    task->total += COUNT(status);
    task->written %= 256;
  }
  return make(task);
}

// echo-later
EXPORT("[async-lift]" STREAMS("echo-later")) uint32_t echo_later(uint32_t data, uint32_t length) {
  return_echo_later(data, length);
  call_over();
  return EXIT;
}

EXPORT("[callback][async-lift]" STREAMS("echo-later"))
uint32_t echo_later_event(enum event event, uint32_t waitable, uint32_t status) {
  (void)event, (void)waitable, (void)status;
  return EXIT;
}
