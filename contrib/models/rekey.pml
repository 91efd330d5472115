/*
 * Keys change inside a session (PROTOCOL.md, section 5).
 *
 * The client seals under new keys from the RESP on; the server keeps them as next, and seals under
 * them from the first DATA packet that opens under them. Both ends keep the previous keys until
 * the next change. Packets are lost, repeated, reordered and late; an answer may come twice.
 *
 * Keys are numbered by handshake. Claims:
 *   - neither end seals under keys that the other cannot have: the server never before the client;
 *   - while one change at a time is under way, what is sealed now can be opened now;
 *   - a pair of keys and packet number is used once in each direction.
 *
 * FAULT 1: the server seals under the next keys before the client has confirmed them.
 * FAULT 2: packet numbers begin again with each RESP, a repeated one included.
 * FAULT 3: the previous keys are forgotten at once.
 */
#ifndef FAULT
#define FAULT 0
#endif

#define HANDSHAKES 4
#define PACKETS 8

mtype = { INIT, RESP, DATA };
chan to_server = [2] of { mtype, byte };
chan to_client = [2] of { mtype, byte };

/* Handshake 0 is the one that began the session. `none` is a key nobody has. */
#define none 15
byte client_current = 0, client_previous = none, started = 0, awaited = none;
byte server_current = 0, server_previous = none, server_next = none;
byte client_number = 0;
bool used[40];             /* handshake * PACKETS + number, the client's direction */

active proctype client() {
    byte k;
    do
    /* Only one handshake is under way, and the next begins when the server has shown the last. */
    :: atomic { awaited == none && started < HANDSHAKES && started == client_current &&
       nfull(to_server) -> started++; awaited = started; to_server ! INIT, started }
    :: atomic { awaited != none && nfull(to_server) -> to_server ! INIT, awaited }  /* repeated */
    :: atomic { client_number < PACKETS && nfull(to_server) ->
       assert(!used[client_current * PACKETS + client_number]);
       used[client_current * PACKETS + client_number] = true;
       client_number++;
       /* Sealed now, it opens now: unless a newer handshake of the client has replaced next. */
       assert(client_current == server_current || client_current == server_next ||
           client_current == server_previous || server_next > client_current);
       to_server ! DATA, client_current }
    :: atomic { to_client ?? RESP, k ->
       if
       :: true -> skip
       :: k == awaited ->
          client_previous = (FAULT == 3 -> none : client_current);
          client_current = k; awaited = none;
          if
          :: FAULT == 2 -> client_number = 0
          :: else
          fi
       :: FAULT == 2 && k == client_current -> client_number = 0
       :: else
       fi; k = 0 }
    :: atomic { to_client ?? DATA, k -> k = 0 }
    od
}

active proctype server() {
    byte k;
    do
    :: atomic { to_server ?? INIT, k ->
       if
       :: true -> skip
       :: k > server_current ->
          server_next = k;
          if
          :: FAULT == 1 -> server_previous = server_current; server_current = k
          :: else
          fi;
          if
          :: nfull(to_client) -> to_client ! RESP, k
          :: else
          fi
       :: else
       fi; k = 0 }
    :: atomic { to_server ?? DATA, k ->
       if
       :: true -> skip
       :: k == server_next && server_next != none ->
          server_previous = server_current; server_current = k; server_next = none
       :: else
       fi; k = 0 }
    :: atomic { nfull(to_client) ->
       assert(server_current <= client_current);         /* never before the client has them */
       /* One change back is open; two happen only if the server confirmed none between. */
       assert(server_current == client_current || server_current == client_previous ||
           (client_previous != none && server_current < client_previous));
       to_client ! DATA, server_current }
    od
}
