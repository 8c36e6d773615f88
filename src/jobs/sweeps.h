/* Sweeping up what is past its time, in batches so small that no customer's write waits long behind one. */
#pragma once

#include "jobs/step.h"

#define SWEEP_BATCH 200      /* rows of one transaction */
#define SWEEP_BATCHES_MAX 10 /* of one step */

/* Each runs some batches; step->has_more says that there is more. DB_DONE or DB_ERROR. */
enum db_result sweep_idempotency_records(struct step *step);
enum db_result sweep_carts(struct step *step);
enum db_result sweep_sessions(struct step *step);
enum db_result sweep_account_tokens(struct step *step);
enum db_result sweep_outbox(struct step *step);
enum db_result sweep_signing_keys(struct step *step);
enum db_result sweep_audit_log(struct step *step);
enum db_result sweep_attempts(struct step *step);
enum db_result sweep_login_challenges(struct step *step);
