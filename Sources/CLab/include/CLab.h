#ifndef C_LAB_H
#define C_LAB_H

// What Swift cannot reach by itself for the laboratory; never a decision.

// Moves the calling thread into the network namespace behind the descriptor; -1 sets errno.
int CLab_enter_network_namespace(int descriptor);

#endif
