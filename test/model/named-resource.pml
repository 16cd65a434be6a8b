/*
 * The lease of a named resource and its token: takes, fenced transactions, an effect on its way to a receiver, ends.
 *
 * Bounds:   2 clients, 1 key, at most 4 takes and 2 crashes. Leases run out at any moment, as they do for a client that is paused
 *           for long; between any two steps a client may be paused for ever so long, and an effect may be under way for as long.
 * Atomic:   a statement of the ledger. A fenced transaction is several: its fence locks the lease FOR KEY SHARE until it ends, and a
 *           take passes over a lease that is locked.
 * Left out: time, spacing, shared mode, the local deadline (a client that looks at it writes less, never more).
 * Breaks:   S3, S4 and I4 (nothing older is written after something newer, neither in the database nor at the receiver).
 *
 * Variants that must fail: NO_FENCE, CHECK_THEN_WRITE, TOKEN_KEPT, RECEIVER_WITHOUT_MEMORY.
 */

#define NOBODY 0
#define TAKES 4
#define CRASHES 2

bool held, live;
byte holder;
byte newest;
byte transaction;      /* whose fenced transaction locks the lease */
byte takes = TAKES;
byte crashes = CRASHES;

byte inFlight[3];      /* the token of each client's effect that is under way */
byte highest;          /* the highest token that the receiver has seen */

/* What the assertions know by themselves: the token of the last write and of the last effect that counted. */
byte granted;
byte written;
byte effected;

proctype Client(byte me) {
  byte token;

end_idle:
  atomic {
    takes > 0 && transaction == NOBODY && (!held || !live) ->
    takes--;
#ifndef TOKEN_KEPT
    newest++;
#else
    newest = (newest == 0 -> 1 : newest);
#endif
    token = newest;
    held = true;
    live = true;
    holder = me;
    assert(token > granted);                                              /* S3 */
    granted = token
  }

working:
  if
#ifdef NO_FENCE
  :: atomic { transaction == NOBODY -> transaction = me; goto writing }
#else
  :: atomic {
      transaction == NOBODY ->
      if
      :: held && holder == me && newest == token ->
#ifndef CHECK_THEN_WRITE
        transaction = me;
#endif
        goto writing
      :: !(held && holder == me && newest == token) -> token = 0; goto end_idle
      fi
    }
#endif
  :: atomic { inFlight[me] == 0 -> inFlight[me] = token; goto working }
  :: goto ending
  :: atomic { crashes > 0 -> crashes--; token = 0; goto end_idle }
  fi;

writing:
  if
  :: atomic {
      assert(token == newest);                                            /* S4 */
      assert(token >= written);                                           /* I4 */
      written = token;
      transaction = (transaction == me -> NOBODY : transaction);
      goto working
    }
  :: atomic { crashes > 0 -> crashes--; transaction = (transaction == me -> NOBODY : transaction); token = 0; goto end_idle }
  fi;

ending:
  atomic {
    transaction == NOBODY ->
    if
    :: held && holder == me && newest == token -> held = false; live = false
    :: else
    fi;
    token = 0;
    goto end_idle
  }
}

active proctype World() {
  byte i;

  atomic { run Client(1); run Client(2) }
end_world:
  do
  :: atomic { live -> live = false }
  :: atomic {
      inFlight[1] > 0 || inFlight[2] > 0 ->
      if
      :: inFlight[1] > 0 -> i = 1
      :: inFlight[2] > 0 -> i = 2
      fi;
#ifdef RECEIVER_WITHOUT_MEMORY
      if
      :: true ->
#else
      if
      :: inFlight[i] >= highest ->
#endif
        highest = (inFlight[i] > highest -> inFlight[i] : highest);
        assert(inFlight[i] >= effected);                                  /* I4 */
        effected = inFlight[i]
      :: else
      fi;
      inFlight[i] = 0;
      i = 0
    }
  od
}
