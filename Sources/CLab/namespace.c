#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE for this file"
#endif

#include <CLab.h>

#include <sched.h>

int CLab_enter_network_namespace(int descriptor) {
    return setns(descriptor, CLONE_NEWNET);
}
