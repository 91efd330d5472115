#include "CSanitizer.h"

#include <stdint.h>

// A `Mutex` that is free is taken and given back by code that the compiler puts into ours, which
// ThreadSanitizer therefore sees. Where threads meet, the toolchain's own library waits and wakes;
// that is not instrumented, so that whatever the lock protects looked like a race. These tell
// ThreadSanitizer what the library does.

#define HANDLE "$s15Synchronization12_MutexHandleV"
#define LOCK HANDLE "9_lockSlowyys6UInt32VF"
#define UNLOCK HANDLE "11_unlockSlowyyF"

#define METHOD __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

void __tsan_acquire(void *address);
void __tsan_release(void *address);

METHOD void realLock(uint32_t thread, SELF void *handle) __asm__("__real_" LOCK);
METHOD void wrapLock(uint32_t thread, SELF void *handle) __asm__("__wrap_" LOCK);
METHOD void realUnlock(SELF void *handle) __asm__("__real_" UNLOCK);
METHOD void wrapUnlock(SELF void *handle) __asm__("__wrap_" UNLOCK);

METHOD void wrapLock(uint32_t thread, SELF void *handle) {
    realLock(thread, handle);
    __tsan_acquire(handle);
}

METHOD void wrapUnlock(SELF void *handle) {
    __tsan_release(handle);
    realUnlock(handle);
}
