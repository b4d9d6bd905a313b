// Asks for the network.
#include "../abi.h"

#define PROBES(name) "trellis-samples:hostile/network-probes@0.1.0#" name

typedef struct { uint8_t tag; union { int32_t handle; uint8_t error; }; } opened_t;
typedef struct { uint8_t tag, value; } answer_t;

IMPORT("wasi:sockets/instance-network@0.2.0", "instance-network") int32_t instance_network(void);
IMPORT("wasi:sockets/network@0.2.0", "[resource-drop]network") void network_drop(int32_t network);
IMPORT("wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket") void create_tcp_socket(int32_t family, opened_t *result);
IMPORT("wasi:sockets/tcp@0.2.0", "[resource-drop]tcp-socket") void tcp_socket_drop(int32_t socket);
IMPORT("wasi:sockets/ip-name-lookup@0.2.0", "resolve-addresses")
void resolve_addresses(int32_t network, const uint8_t *name, uint32_t length, opened_t *result);
IMPORT("wasi:sockets/ip-name-lookup@0.2.0", "[resource-drop]resolve-address-stream") void addresses_drop(int32_t addresses);

static answer_t answer;

static answer_t *given(const opened_t *opened) {
  answer = opened->tag == 0 ? (answer_t){0, true} : (answer_t){1, opened->error};
  return &answer;
}

EXPORT(PROBES("open-socket")) answer_t *open_socket(void) {
  opened_t opened;
  create_tcp_socket(0, &opened);
  if (opened.tag == 0) tcp_socket_drop(opened.handle);
  return given(&opened);
}

EXPORT(PROBES("look-up")) answer_t *look_up(const uint8_t *name, uint32_t length) {
  const int32_t network = instance_network();
  opened_t opened;
  resolve_addresses(network, name, length, &opened);
  if (opened.tag == 0) addresses_drop(opened.handle);
  network_drop(network);
  arena_reset();
  return given(&opened);
}
