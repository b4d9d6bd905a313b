// Loops before anybody calls it: the host meets it while it makes an instance.
#include "../abi.h"

EXPORT("_initialize") void initialize(void) {
  for (;;) __asm__ volatile("");
}

EXPORT("trellis-samples:hostile/starts@0.1.0#nothing") void nothing(void) {}
