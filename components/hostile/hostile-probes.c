// Asks the system for whatever it can get.
#include "../abi.h"

#define PROBES(name) "trellis-samples:hostile/probes@0.1.0#" name
#define POST(id, name) EXPORT("cabi_post_" PROBES(name)) void id##_post(void *value) { (void)value; arena_reset(); }

// --- output
typedef struct { uint8_t tag; struct { uint8_t tag; int32_t error; } failure; } written_t;

IMPORT("wasi:cli/stdout@0.2.0", "get-stdout") int32_t get_stdout(void);
IMPORT("wasi:cli/stderr@0.2.0", "get-stderr") int32_t get_stderr(void);
IMPORT("wasi:io/streams@0.2.0", "[method]output-stream.blocking-write-and-flush")
void stream_write(int32_t stream, const uint8_t *data, uint32_t length, written_t *result);
IMPORT("wasi:io/streams@0.2.0", "[resource-drop]output-stream") void stream_drop(int32_t stream);
IMPORT("wasi:io/error@0.2.0", "[resource-drop]error") void error_drop(int32_t error);

#define WRITE_LIMIT 4096 // of one blocking-write-and-flush

static bool write_all(int32_t stream, const uint8_t *data, uint32_t length) {
  for (uint32_t done = 0; done < length;) {
    const uint32_t piece = length - done < WRITE_LIMIT ? length - done : WRITE_LIMIT;
    written_t result;
    stream_write(stream, data + done, piece, &result);
    if (result.tag == 1) {
      if (result.failure.tag == 0) error_drop(result.failure.error);
      return false;
    }
    done += piece;
  }
  return true;
}

static int32_t open_output(int32_t to) { return to == 0 ? get_stdout() : get_stderr(); }

EXPORT(PROBES("flood")) void flood(int32_t to, uint32_t lines, uint32_t line_bytes) {
  const int32_t stream = open_output(to);
  uint8_t *line = arena_alloc(1, line_bytes + 1);
  for (uint32_t i = 0; i < line_bytes; i++) line[i] = 'x';
  line[line_bytes] = '\n';
  for (uint32_t i = 0; i < lines && write_all(stream, line, line_bytes + 1); i++) {}
  stream_drop(stream);
  arena_reset();
}

EXPORT(PROBES("print")) void print(int32_t to, const uint8_t *text, uint32_t length) {
  const int32_t stream = open_output(to);
  write_all(stream, text, length);
  stream_drop(stream);
  arena_reset();
}

// --- the process
IMPORT("wasi:cli/exit@0.2.0", "exit") void exit_program(int32_t status);
IMPORT("wasi:cli/environment@0.2.0", "get-environment") void get_environment(list_t *result);
IMPORT("wasi:cli/environment@0.2.0", "get-arguments") void get_arguments(list_t *result);

static list_t answer;

EXPORT(PROBES("exit")) void probe_exit(int32_t status) { exit_program(status); }

POST(environment, "environment")
EXPORT(PROBES("environment")) list_t *environment(void) {
  get_environment(&answer);
  return &answer;
}

POST(program_arguments, "program-arguments")
EXPORT(PROBES("program-arguments")) list_t *program_arguments(void) {
  get_arguments(&answer);
  return &answer;
}

// --- time and chance
typedef struct { uint64_t seconds; uint32_t nanoseconds; } datetime_t;

IMPORT("wasi:clocks/wall-clock@0.2.0", "now") void wall_now(datetime_t *result);
IMPORT("wasi:clocks/monotonic-clock@0.2.0", "now") uint64_t monotonic_now(void);
IMPORT("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration") int32_t subscribe_duration(uint64_t nanoseconds);
IMPORT("wasi:io/poll@0.2.0", "[method]pollable.block") void pollable_block(int32_t pollable);
IMPORT("wasi:io/poll@0.2.0", "[resource-drop]pollable") void pollable_drop(int32_t pollable);
IMPORT("wasi:random/random@0.2.0", "get-random-bytes") void get_random_bytes(uint64_t length, list_t *result);

EXPORT(PROBES("wall-clock")) uint64_t wall_clock(void) {
  datetime_t now;
  wall_now(&now);
  return now.seconds;
}

EXPORT(PROBES("monotonic-clock")) uint64_t monotonic_clock(void) { return monotonic_now(); }

EXPORT(PROBES("clock-step")) uint64_t clock_step(uint32_t reads) {
  uint64_t smallest = UINT64_MAX;
  uint64_t last = monotonic_now();
  for (uint32_t i = 0; i < reads; i++) {
    const uint64_t now = monotonic_now();
    if (now != last && now - last < smallest) smallest = now - last;
    last = now;
  }
  return smallest;
}

EXPORT(PROBES("sleep")) void sleep(uint64_t nanoseconds) {
  const int32_t pollable = subscribe_duration(nanoseconds);
  pollable_block(pollable);
  pollable_drop(pollable);
}

POST(random, "random")
EXPORT(PROBES("random")) list_t *random(uint64_t bytes) {
  get_random_bytes(bytes, &answer);
  return &answer;
}

// --- files
typedef struct { int32_t descriptor; list_t name; } folder_t;
typedef struct { uint8_t tag; union { int32_t descriptor; uint8_t error; }; } opened_t;
typedef struct { uint8_t tag; union { struct { list_t data; uint8_t end; }; uint8_t error; }; } read_t;
typedef struct { uint8_t tag; union { list_t data; uint8_t error; }; } file_t;

IMPORT("wasi:filesystem/preopens@0.2.0", "get-directories") void get_directories(list_t *result);
IMPORT("wasi:filesystem/types@0.2.0", "[method]descriptor.open-at")
void open_at(int32_t folder, int32_t path_flags, const uint8_t *path, uint32_t length, int32_t open_flags, int32_t flags,
             opened_t *result);
IMPORT("wasi:filesystem/types@0.2.0", "[method]descriptor.read")
void descriptor_read(int32_t file, uint64_t length, uint64_t offset, read_t *result);
IMPORT("wasi:filesystem/types@0.2.0", "[resource-drop]descriptor") void descriptor_drop(int32_t descriptor);

POST(folders, "folders")
EXPORT(PROBES("folders")) list_t *folders(void) {
  get_directories(&answer);
  const folder_t *given = (const folder_t *)(uintptr_t)answer.data;
  list_t *names = arena_alloc(4, answer.length * sizeof(list_t));
  for (uint32_t i = 0; i < answer.length; i++) {
    names[i] = given[i].name;
    descriptor_drop(given[i].descriptor);
  }
  answer.data = (uintptr_t)names;
  return &answer;
}

#define SYMLINK_FOLLOW 1
#define READ 1
#define NO_FOLDERS 255

static void read_below(int32_t folder, const uint8_t *path, uint32_t length, file_t *result) {
  opened_t opened;
  open_at(folder, SYMLINK_FOLLOW, path, length, 0, READ, &opened);
  if (opened.tag == 1) {
    result->error = opened.error;
    return;
  }
  read_t contents;
  descriptor_read(opened.descriptor, 65536, 0, &contents);
  descriptor_drop(opened.descriptor);
  result->tag = contents.tag;
  if (contents.tag == 1) result->error = contents.error;
  else result->data = contents.data;
}

POST(read_file, "read-file")
EXPORT(PROBES("read-file")) file_t *read_file(const uint8_t *path, uint32_t length) {
  static file_t result;
  result = (file_t){.tag = 1, .error = NO_FOLDERS};
  list_t given;
  get_directories(&given);
  const folder_t *folder = (const folder_t *)(uintptr_t)given.data;
  for (uint32_t i = 0; i < given.length; i++) {
    if (result.tag == 1) read_below(folder[i].descriptor, path, length, &result);
    descriptor_drop(folder[i].descriptor);
  }
  return &result;
}
