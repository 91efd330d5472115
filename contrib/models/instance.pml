/*
 * Which session an INIT continues (PROTOCOL.md, section 5).
 *
 * A client makes handshakes and gives sessions up when it likes; the server forgets sessions when
 * it likes (a restart). Packets are lost, repeated, reordered and late. Another authorised key
 * sends INITs with the same instance and route. Receiver indices (routes) are random and taken to
 * be drawn once: with indices that come again, an old INIT would continue another life.
 *
 * `life` is what neither side can see: the one set of streams that the two believe they share.
 * Claims: packets that open on both ends belong to the same life (no split brain), and a session
 * is continued only by the key that began it.
 *
 * FAULT 1: the client takes an answer that continues a session which it has given up.
 * FAULT 2: the server finds the session by route and instance, without the key.
 * FAULT 3: the server says "continued" for an instance that it has forgotten.
 */
#ifndef FAULT
#define FAULT 0
#endif

#define ATTEMPTS 4
#define LIVES 7

mtype = { INIT, RESP, DATA };

/* kind, key, attempt (names the keys of the packet), instance, route, life, continued */
chan to_server = [2] of { mtype, byte, byte, byte, byte, byte };
chan to_client = [2] of { mtype, byte, byte, byte, bool };

byte lives = 0;

active proctype client() {
    byte instance = 1, life = 0, attempt = 0, keys = 0, route = 0;
    byte attempted = 0;               /* the attempt whose answer is awaited, 0 for none */
    byte a, r, l;
    bool continued;
    do
    :: atomic { attempt < ATTEMPTS ->
       attempt++; attempted = attempt;
       to_server ! INIT, 1, attempt, instance, route, 0 }
    /* The streams are given up; the next INIT begins anew. The old one may still be under way. */
    :: atomic { life != 0 -> life = 0; keys = 0; route = 0; instance = 3 - instance }
    :: atomic { keys != 0 -> to_server ! DATA, 1, keys, instance, route, life }
    :: atomic { to_client ?? RESP, a, r, l, continued ->
       if
       :: true -> skip                                    /* lost */
       :: a == attempted ->
          attempted = 0;
          if
          :: continued && life == 0 && FAULT != 1 ->
             /* It continues what was given up: begin again with another instance. */
             instance = 3 - instance; route = 0; keys = 0
          :: continued && life == 0 && FAULT == 1 ->
             lives++; life = lives; keys = a; route = r
          :: continued && life != 0 ->
             assert(life == l);
             keys = a; route = r
          :: !continued -> life = l; keys = a; route = r  /* its streams are reset */
          fi
       :: else
       fi; a = 0; r = 0; l = 0; continued = false }
    od
}

/* Another key, with everything else the same. */
active proctype stranger() {
    byte tries = 0;
    do
    :: atomic { tries < 2 -> tries++; to_server ! INIT, 2, 0, 1, tries, 0 }
    :: tries == 2 -> break
    od
}

active proctype server() {
    /* One session is enough: a second one is the same with another route. */
    byte key = 0, instance = 0, life = 0, route = 0, current = 0, next = 0;
    byte k, a, i, r, l;
    bool continues;
    do
    :: atomic { life != 0 -> key = 0; instance = 0; life = 0; current = 0; next = 0 }
    :: atomic { to_server ?? INIT, k, a, i, r, l ->
       if
       :: true -> skip
       :: lives < LIVES - 1 ->
          continues = life != 0 && r != 0 && r == route && i == instance &&
              (k == key || FAULT == 2);
          if
          :: continues -> assert(k == key); next = a
          :: !continues && FAULT == 3 && r != 0 && life == 0 ->
             lives++; key = k; instance = i; life = lives; route = r; current = 0; next = a;
             continues = true
          :: else ->
             lives++; key = k; instance = i; life = lives; current = 0; next = a;
             route = lives
          fi;
          if
          :: k == 1 && len(to_client) < 2 -> to_client ! RESP, a, route, life, continues
          :: else
          fi
       :: else
       fi; k = 0; a = 0; i = 0; r = 0; l = 0; continues = false }
    :: atomic { to_server ?? DATA, k, a, i, r, l ->
       if
       :: true -> skip
       :: k == key && (a == next || a == current) && a != 0 ->
          assert(l == life);                              /* no split brain */
          if
          :: a == next -> current = next; next = 0
          :: else
          fi
       :: else
       fi; k = 0; a = 0; i = 0; r = 0; l = 0 }
    od
}
