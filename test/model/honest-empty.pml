/*
 * The read that passes over locked rows, and the answer `empty`.
 *
 * Bounds:   2 rows, 2 transactions of others that each lock a row and then take it or roll back, at most 3 claims.
 * Atomic:   a read. The second one sees the table at a later moment here; in PostgreSQL it sees it as the statement began, which, as
 *           nobody gives rows back here, only makes the claim more cautious.
 * Breaks:   S6, empty only if no row was free when it was read without passing over any; and S1, no row is given twice.
 *
 * Variant that must fail: SKIPPING_MISS, empty as soon as a read that passes over locked rows finds none.
 */

#define NOBODY 0

bool taken[2];
byte lock[2];
byte claims = 3;

#define IS_FREE(row) (!taken[row])
#define IS_CHOSEN(row) (!taken[row] && lock[row] == NOBODY)

proctype Stranger(byte me; byte row) {
  atomic { lock[row] == NOBODY -> lock[row] = me }
  if
  :: d_step { assert(!taken[row] || lock[row] == me); taken[row] = true; lock[row] = NOBODY }
  :: d_step { lock[row] = NOBODY }
  fi
}

active proctype Claim() {
  atomic { run Stranger(1, 0); run Stranger(2, 1) }
end_idle:
  atomic {
    claims > 0 ->
    claims--;
    if
    :: IS_CHOSEN(0) -> taken[0] = true; goto end_idle
    :: IS_CHOSEN(1) -> taken[1] = true; goto end_idle
    :: !IS_CHOSEN(0) && !IS_CHOSEN(1)
    fi
  }
#ifdef SKIPPING_MISS
  goto toSayEmpty;
#endif
  atomic {
    if
    :: IS_FREE(0) || IS_FREE(1) -> goto end_idle          /* contended */
    :: !IS_FREE(0) && !IS_FREE(1)
    fi
  }

toSayEmpty:
  assert(!IS_FREE(0) && !IS_FREE(1));                                     /* S6: nobody gives rows back in this model */
  goto end_idle
}
