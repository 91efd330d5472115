#ifndef C_SANITIZER_H
#define C_SANITIZER_H

// Nothing to call: the linker leads the slow ways of `Mutex` here (--wrap, see Package.swift).

#endif
