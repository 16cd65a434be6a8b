/*
 * The claim of a pool row: a message of a claimant, the outer lock, the ledger, the handler, the end of the claim, the settlement.
 *
 * Bounds:   2 pods, 3 messages of 2 claimants (two messages are of one claimant), 2 rows. At most one of each: crash of a pod between
 *           any two steps, lease that ends while its holder works on, outer lock lost while held, delivery of a message
 *           that is still being worked on, lost answer to a statement of the ledger, failure of a handler (the row is kept or released).
 * Atomic:   a statement of the ledger, because it is one: it happens under the locks of its rows or not at all.
 * Left out: time (a lease of a dead pod ends at any moment; one of a living pod as often as the budget says), the contents of
 *           rows, scopes (each is a pool of its own), group commit (each member of a batch is judged alone), waiting for locks, an empty
 *           pool (there are as many rows as claimants; see honest-empty.pml).
 * Breaks:   S1 to S5, which are assertions; the last one says that at rest no message is left over.
 *
 * Variants that must fail: NAIVE, NO_KEY, SECOND_ROW, TOKEN_BEFORE_LOCK, NO_FENCE, SETTLE_FIRST, UNKNOWN_IS_DONE.
 * LIVENESS: under weak fairness, once the budgets are used up or left alone, every message ends (L1). Must fail with LEASE_FOREVER, where
 *           the lease of a dead pod does not run out.
 */

#define PODS 2
#define CLAIMANTS 2
#define ROWS 2

#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LAPSES
#define LAPSES 1
#endif
#ifndef LOCK_LOSSES
#define LOCK_LOSSES 1
#endif
#ifndef REDELIVERIES
#define REDELIVERIES 1
#endif
#ifndef LOST_ANSWERS
#define LOST_ANSWERS 1
#endif
#ifndef FAILURES
#define FAILURES 1
#endif

#define NOBODY 0
#define DEAD 255
#define NO_ROW 0

/* Status of a claim. */
#define ABSENT 0
#define HELD 1
#define FAILED 2
#define COMPLETED 3
#define RELEASED 4

/* Answers of the ledger. */
#define NO_ANSWER 0
#define CLAIMED 1
#define REPLAYED 2
#define CONTENDED 3
#define EMPTY 4
#define DONE 5
#define LOST 6

/* Messages 0 and 2 are of claimant 0. */
#define CLAIMANT_OF(message) (message % CLAIMANTS)
#define BIT(claimant) (1 << claimant)

typedef Claim {
  byte status;
  byte row;
  byte token;
  byte holder; /* the pod whose delivery won it; NOBODY once that delivery is over: its id is random and never comes back */
  bool live
}

Claim claims[CLAIMANTS];
byte newest[ROWS + 1];   /* the last token of each row, whoever had it */
byte owner[ROWS + 1];    /* the owner column: claimant + 1 */
byte lock[CLAIMANTS];    /* the outer lock of each claimant: a pod, NOBODY, or DEAD until it runs out */
byte ready[MESSAGES] = 1;
#ifdef TOKEN_BEFORE_LOCK
byte sequence;
#endif

byte crashes = CRASHES;
byte lapses = LAPSES;
byte lockLosses = LOCK_LOSSES;
byte redeliveries = REDELIVERIES;
byte lostAnswers = LOST_ANSWERS;
byte failures = FAILURES;

/* What the assertions know by themselves: who was told of which row, the newest token that was told, whose work is done. */
byte told[ROWS + 1];
byte seen[ROWS + 1];
bool completed[CLAIMANTS];
byte settled;

inline tell() {
  assert((told[row] & ~BIT(c)) == 0);                                     /* S1 */
  assert((told[3 - row] & BIT(c)) == 0);                                  /* S2 */
  assert(token > seen[row]);                                              /* S3 */
  told[row] = told[row] | BIT(c);
  seen[row] = token
}

inline chooseRow() {
  if
  :: owner[1] == NOBODY -> row = 1
  :: owner[2] == NOBODY -> row = 2
  :: owner[1] != NOBODY && owner[2] != NOBODY -> row = NO_ROW
  fi
}

inline mint() {
#ifdef TOKEN_BEFORE_LOCK
  token = drawn
#else
  token = newest[row] + 1
#endif
}

inline hold() {
  mint();
  newest[row] = token;
  owner[row] = c + 1;
  claims[c].status = HELD;
  claims[c].row = row;
  claims[c].token = token;
  claims[c].holder = me;
  claims[c].live = true;
  tell()
}

inline claimNewRow() {
  chooseRow();
  if
  :: row == NO_ROW -> answer = EMPTY
  :: else -> hold(); answer = CLAIMED
  fi
}

inline claimRow() {
#ifdef NO_KEY
  claimNewRow()
#else
  if
  :: claims[c].status == COMPLETED -> answer = REPLAYED
  :: claims[c].status == HELD && claims[c].holder == me ->
    claims[c].live = true;
    row = claims[c].row;
    token = claims[c].token;
    answer = CLAIMED
  :: claims[c].status == HELD && claims[c].holder != me && claims[c].live -> answer = CONTENDED
  :: (claims[c].status == HELD && claims[c].holder != me && !claims[c].live) || claims[c].status == FAILED ->
#ifdef SECOND_ROW
    claimNewRow()
#else
    row = claims[c].row;
    hold();
    answer = CLAIMED
#endif
  :: claims[c].status == ABSENT || claims[c].status == RELEASED -> claimNewRow()
  fi
#endif
}

#ifdef NO_FENCE
#define IS_MINE (claims[c].status == HELD || claims[c].status == FAILED)
#else
#define IS_MINE (claims[c].status == HELD && claims[c].token == token && claims[c].row == row)
#endif

inline complete() {
  if
  :: IS_MINE ->
    assert(token == seen[row]);                                           /* S4 */
    claims[c].status = COMPLETED;
    claims[c].live = false;
    completed[c] = true;
    answer = DONE
  :: !IS_MINE && claims[c].status == COMPLETED && claims[c].token == token && claims[c].row == row -> answer = DONE
  :: !IS_MINE && !(claims[c].status == COMPLETED && claims[c].token == token && claims[c].row == row) -> answer = LOST
  fi
}

inline keep() {
  if
  :: IS_MINE -> claims[c].status = FAILED; claims[c].live = false
  :: else
  fi
}

inline release() {
  if
  :: IS_MINE ->
    claims[c].status = RELEASED;
    claims[c].live = false;
    claims[c].row = NO_ROW;
    claims[c].token = 0;
    owner[row] = NOBODY;
    told[row] = told[row] & ~BIT(c)
  :: else
  fi
}

/* The delivery is over: its locals and its holder id mean nothing any more. */
inline forget(lockAfter) {
  if
  :: lock[c] == me -> lock[c] = lockAfter
  :: else
  fi;
  if
  :: claims[c].holder == me -> claims[c].holder = NOBODY
  :: else
  fi;
  m = 0; c = 0; row = 0; token = 0; answer = NO_ANSWER
}

inline crash() {
  crashes > 0 -> crashes--;
  ready[m]++;
  forget(DEAD)
}

inline putBack() {
  ready[m]++;
  forget(NOBODY)
}

inline settle() {
  settled = settled | BIT(m);
  forget(NOBODY)
}

proctype Pod(byte me) {
  byte m, c, row, token, answer;
#ifdef TOKEN_BEFORE_LOCK
  byte drawn;
#endif

end_idle:
  atomic {
    if
    :: ready[0] > 0 && lock[CLAIMANT_OF(0)] == NOBODY -> m = 0
    :: ready[1] > 0 && lock[CLAIMANT_OF(1)] == NOBODY -> m = 1
#if MESSAGES > 2
    :: ready[2] > 0 && lock[CLAIMANT_OF(2)] == NOBODY -> m = 2
#endif
    fi;
    ready[m]--;
    c = CLAIMANT_OF(m);
    lock[c] = me
  }

#ifdef TOKEN_BEFORE_LOCK
  d_step { sequence++; drawn = sequence }
#endif

#ifdef NAIVE
  atomic {
    chooseRow();
    if
    :: row == NO_ROW -> settle(); goto end_idle
    :: else
    fi
  }
  d_step { token = newest[row] + 1; newest[row] = token; owner[row] = c + 1; tell() }
  d_step { completed[c] = true }
  goto toSettle;
#endif

toClaim:
  if
  :: atomic {
      claimRow();
      if
      :: answer == CLAIMED -> answer = NO_ANSWER; goto toWork
      :: answer == REPLAYED -> answer = NO_ANSWER; goto toSettle
      :: answer == CONTENDED -> putBack(); goto end_idle
      :: answer == EMPTY -> settle(); goto end_idle
      fi
    }
  :: atomic { lostAnswers > 0 -> lostAnswers--; claimRow(); row = 0; token = 0; answer = NO_ANSWER; goto toClaim }
  :: atomic { crash(); goto end_idle }
  fi;

toWork:
#ifdef SETTLE_FIRST
  goto toSettle;
#endif
  if
  :: atomic {
      complete();
      if
      :: answer == DONE -> row = 0; token = 0; answer = NO_ANSWER; goto toSettle
      :: answer == LOST -> putBack(); goto end_idle
      fi
    }
  :: atomic { lostAnswers > 0 -> lostAnswers--; complete(); answer = NO_ANSWER; goto toWork }
#ifdef UNKNOWN_IS_DONE
  :: atomic { lostAnswers > 0 -> lostAnswers--; goto toSettle }
#endif
  :: atomic { failures > 0 -> failures--; keep(); putBack(); goto end_idle }
  :: atomic { failures > 0 -> failures--; release(); putBack(); goto end_idle }
  :: atomic { redeliveries > 0 -> redeliveries--; ready[m]++; goto toWork }
  :: atomic { crash(); goto end_idle }
  fi;

toSettle:
  if
  :: atomic {
      assert(completed[c]);                                               /* S5 */
      settle();
      goto end_idle
    }
  :: atomic { redeliveries > 0 -> redeliveries--; ready[m]++; goto toSettle }
  :: atomic { crash(); goto end_idle }
  fi
}

#define EVERY_MESSAGE ((1 << MESSAGES) - 1)

active proctype World() {
  byte i;

  atomic { run Pod(1); run Pod(2) }
end_world:
  do
#ifndef LEASE_FOREVER
  :: atomic { claims[0].live && claims[0].holder == NOBODY -> claims[0].live = false }
  :: atomic { claims[1].live && claims[1].holder == NOBODY -> claims[1].live = false }
#endif
  :: atomic { lock[0] == DEAD -> lock[0] = NOBODY }
  :: atomic { lock[1] == DEAD -> lock[1] = NOBODY }
  :: atomic { lapses > 0 && claims[0].live && claims[0].holder != NOBODY -> lapses--; claims[0].live = false }
  :: atomic { lapses > 0 && claims[1].live && claims[1].holder != NOBODY -> lapses--; claims[1].live = false }
  :: atomic { lockLosses > 0 && lock[0] != NOBODY && lock[0] != DEAD -> lockLosses--; lock[0] = NOBODY }
  :: atomic { lockLosses > 0 && lock[1] != NOBODY && lock[1] != DEAD -> lockLosses--; lock[1] = NOBODY }
  :: timeout -> break
  od;
  assert(settled == EVERY_MESSAGE)                                        /* S5: nothing is left over */
}

#ifdef LIVENESS
ltl everyMessageEnds { <> (settled == EVERY_MESSAGE) }                    /* L1 */
#endif
