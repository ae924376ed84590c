//! Driftline: which upstream change moved which model's outcomes.
//!
//! It reads records, predictions and outcomes from Kafka topics, counts them by schema version and
//! producer, tests the counts, and names the change that explains a model's behaviour. `README.md`
//! is for those who run it; this page is for those who read or change the code.
//!
//! ```text
//!  records     ─┐
//!  predictions ─┼─► observe ─┬─ facts ─────► join ──┐
//!  outcomes    ─┘   ▲   │    └─ summaries ──────────┴─► summaries ─► assess ─► findings ─► decide
//!                   │   └─► quarantine                                 │                      │
//!  schema registry ─┘▲                                                 │      drift-events ◄──┤
//!                    └──────────────────── layouts ◄───────────────────┘  retrain-requests ◄──┤
//!                                                                          action-requests ◄──┘
//! ```
//!
//! Four stages, each a state machine that takes messages and says messages, with a Kafka topic in
//! between. What travels after the first stage adds up: sums of integers, maxima, and facts of a
//! few bytes. A stage's memory is either a function of its input or a checkpoint and the input
//! since, so a crash is answered by reading again in silence.
//!
//! # Rooms, in reading order
//!
//! | room | what it is |
//! |---|---|
//! | [`event`] | the vocabulary: what travels between stages and out of the last one |
//! | [`sketch`] | summaries of a field's values, exact and mergeable |
//! | [`config`] | YAML as written, and the validated [`Plan`](config::plan::Plan) |
//! | [`stage`] | the contract of the stages behind observe |
//! | [`observe`] | stage 1: one record |
//! | [`join`] | stage 2: one prediction and its outcome |
//! | [`assess`] | stage 3: one dataset or model |
//! | [`decide`] | stage 4: everything at once; causes are weighed in [`decide::attribution`] |
//! | [`topology`] | the four chained in memory, for replay, `watch` and tests |
//! | [`publish`] | public events as CloudEvents, in Avro or JSON |
//! | [`registry`] | schema registry client, and a stand-in. Impure |
//! | [`runtime`] | the loops on Kafka: groups, transactions, restore. Impure |
//! | [`serve`] | metrics, health, HTTP. Impure |
//! | [`process`] | loops, registry and HTTP put together. Impure |
//! | [`infer`] | a configuration proposed from a sample of records |
//! | [`replay`] | records from files. Impure |
//! | [`verify`] | the ledger computed again from the topics. Impure |
//! | [`rewind`] | going back in time on purpose, or on without what is gone. Impure |
//! | [`demo`] | a made-up bank and the world it runs in |
//! | [`cli`] | one file a verb; the only room that prints |
//!
//! A first walk: [`event::summary`], [`observe::Observe`], [`assess::Assess`],
//! [`decide::Decide`], then [`runtime`].
//!
//! # Invariants
//!
//! Each names the tests that hold it; a test checks that those exist.
//!
//! 1. **Time is data.** No stage reads a clock. How far sources have been read, and when that was,
//!    comes in headers that every commit writes to every partition downstream, also when there is
//!    nothing else to say; *now* is the broker's timestamp of the newest message.
//!    `stages_name_no_clock_no_disk_and_no_network`,
//!    `every_partition_downstream_gets_a_header_also_of_nothing`,
//!    `every_commit_says_to_every_partition_how_far_it_has_come`,
//!    `quiet_topic_ends_its_windows_with_now`.
//! 2. **The same input says the same bytes.** Verdicts read integers, maxima and fixed point,
//!    limits keep what has the smallest hashes, and outcomes count by when they came, so neither
//!    the order of partitions nor the number of instances nor the place of commits shows.
//!    `the_same_records_give_the_same_bytes`, `instances_splitting_partitions_merge_to_the_same`,
//!    `commits_at_any_boundary_merge_to_the_same`, `admission_does_not_depend_on_order`,
//!    `any_interleaving_of_source_partitions_gives_the_same_sums`,
//!    `any_order_of_reading_partitions_gives_the_same_verdicts`,
//!    `recorded_summaries_give_the_same_findings_and_events_byte_for_byte`.
//! 3. **A stage cannot fail.** `step` returns nothing. Bad bytes are a counted outcome with a
//!    place to go; a broken assumption is a panic that ends the process, which starts again from
//!    what is committed. `bytes_that_do_not_decode_are_set_aside`,
//!    `bombs_are_set_aside_and_cost_next_to_nothing`, `ever_new_schemas_never_stall_a_partition`,
//!    `message_that_cannot_be_read_is_noted_and_passed_over`, `damaged_messages_never_panic`,
//!    `every_cut_is_truncated_and_no_flip_panics`.
//! 4. **Each record has one outcome**, however many roles its topic plays, and the outcomes of a
//!    range of offsets add up to it. `every_record_has_exactly_one_outcome`,
//!    `a_record_one_role_cannot_use_counts_for_none`.
//! 5. **Offsets, state and output move together**, in one transaction.
//!    `whatever_fails_nothing_is_lost_or_doubled_and_the_same_is_said`,
//!    `restored_join_remembers_the_same_bytes`, `restored_assess_remembers_the_same_bytes`,
//!    `restored_decide_remembers_the_same_bytes`,
//!    `every_input_counts_once_under_kill_9`, `a_fenced_producer_is_replaced_and_nothing_is_lost`,
//!    `each_record_is_driven_in_once_as_it_was_however_often_it_is_asked_for`,
//!    `under_faults_at_random_it_loses_nothing_doubles_nothing_and_says_the_same`,
//!    `each_answer_of_kafka_ends_committed_or_recovered_and_none_spins`,
//!    `each_record_is_driven_in_once_however_often_it_is_killed`.
//! 6. **The ledger is checked and never trusted to filter.** Ranges of a source partition follow
//!    each other without gap or overlap; where they do not, it is an incident, and going back in
//!    time, or on without what is gone, is a verb that starts a new epoch.
//!    `the_ledger_has_no_gap_over_a_stop_and_a_start`, `gap_and_overlap_are_named`,
//!    `ranges_are_contiguous_and_metadata_brings_the_watermark_back`,
//!    `offsets_that_retention_has_taken_end_the_run_and_are_counted`,
//!    `a_broken_ledger_is_one_incident_that_names_offsets_and_ends_with_a_rewind`,
//!    `records_given_up_are_one_incident_that_names_them_and_is_over`,
//!    `lost_records_are_given_up_by_name_and_their_windows_are_incomplete`,
//!    `a_source_made_anew_is_read_from_its_beginning`,
//!    `what_was_read_adds_up_and_what_was_tampered_with_is_named`,
//!    `after_going_back_the_sums_are_those_of_the_raw_records`.
//! 7. **Ids are derived** from what an event is about, so telling it again is the same event.
//!    `restored_from_checkpoints_it_says_the_same`, `decide_that_crashes_anywhere_says_the_same`.
//!    That our own readers read committed records
//!    alone is held by review, beside `a_property_that_breaks_correctness_is_refused`.
//! 8. **Late is judged once**, in observe, against the record's own partition; a dataset's
//!    watermark is the minimum over partitions; one read to its end holds it at what had been
//!    written when it said so, and one that cannot be read holds it for a while only.
//!    `late_is_judged_against_the_records_own_partition`,
//!    `watermark_is_undefined_until_every_partition_has_reported`,
//!    `partition_at_its_end_holds_what_was_written_after_it_said_so`,
//!    `partition_that_cannot_be_read_holds_the_watermark_for_a_while_only`.
//! 9. **The past does not act.** Old windows are told as backfill and ask for nothing; a partition
//!    far ahead waits, never the slowest. `the_past_does_not_act`,
//!    `the_past_does_not_act_when_outcomes_come_after_a_topic_fell_silent`,
//!    `a_partition_that_holds_the_oldest_window_open_is_never_ahead`,
//!    `a_partition_far_ahead_waits_and_the_slowest_never_does`,
//!    `everything_is_read_and_nobody_runs_far_ahead`,
//!    `past_and_future_touch_neither_watermark_nor_summary`,
//!    `a_month_of_history_is_read_in_order_beside_the_present_and_asks_for_nothing`.
//! 10. **Everything has a limit**, and reaching it is counted and does not bend a rate.
//!     `cells_beyond_the_limit_go_to_the_others`,
//!     `fields_beyond_the_limit_are_counted_as_unwatched`,
//!     `items_beyond_the_limit_are_left_out_and_counted`,
//!     `more_definitions_than_are_kept_are_counted`,
//!     `beyond_the_limit_a_part_of_the_ids_is_kept_and_stays_kept_after_a_crash`,
//!     `an_oversized_record_is_set_aside_cut`, `cache_is_bounded`,
//!     `ever_new_producers_are_added_together_in_bounded_memory`,
//!     `ever_new_versions_are_forgotten_oldest_first_and_those_in_use_never`,
//!     `records_set_aside_ask_for_a_commit_before_they_fill_memory`,
//!     `value_too_large_for_a_record_is_written_in_pieces_and_put_together`,
//!     `a_bomb_of_keys_fields_and_ids_stays_within_the_memory_limit`.
//! 11. **No rows are kept.** Of values there are counts in bins, and texts only as far as a field's
//!     policy allows. `texts_are_kept_as_the_policy_says`, `a_long_text_is_never_kept`,
//!     `texts_are_not_kept_when_there_are_more_than_the_dictionary_holds`,
//!     `a_hashed_value_leaves_under_the_key_alone`,
//!     `more_than_64_values_leave_as_hashes_with_a_key_and_not_at_all_without`,
//!     `a_dropped_field_is_counted_by_presence_and_breaches`,
//!     `a_field_the_registry_tags_is_silent_from_the_first_record_on`,
//!     `items_are_silent_where_the_schema_is_tagged_and_hashed_where_asked`,
//!     `secrets_are_in_no_output`, `secrets_are_in_no_debug_text_and_no_error`. That log lines
//!     carry no payload is held by review.
//!
//! Statistics and attribution are held to values computed elsewhere (`tests/golden.rs`), internal
//! bytes to files (`tests/wire_golden.rs`), Avro decoding to `apache-avro`
//! (`tests/decode_differential.rs`).
//!
//! # Left out on purpose
//!
//! - **Rank sketches** (KLL, t-digest). Their error hides small drift in small windows and invents
//!   it in large ones. Bins learnt once and counted exactly have no such floor.
//! - **Raw samples and a database.** Learning needs a sample of values, which is no row and is
//!   dropped once read; everything else is in Kafka.
//! - **Election, gossip, replication of our own.** Kafka's groups and transactions do it.
//! - **Async on the record path.** A loop is a thread; tokio is for HTTP, signals and the registry.
//! - **Retraining or blocking anything.** Driftline asks, and services or people act.
//!
//! Not there yet, each with a room to go to: segments ([`observe`]); seasons, distinct counts and
//! early contrasts before a window closes ([`assess`], [`sketch`]); model versions, thresholds and
//! label pipelines as causes, gates, a policy language ([`decide`]); lineage events ([`publish`]);
//! pages ([`serve`]).
//!
//! # Where the code departs from the first design
//!
//! - Log histogram buckets are an exponent and six bits of mantissa in place of a logarithm: a
//!   shift finds them, with the same bits on every platform, within 0.8 %.
//! - Golden tails of the beta-binomial were summed anew in 60-digit decimals: the library values
//!   they came from are one minus a distribution function and say nothing below 1e-9.
//! - Join keeps an id until the clock is a horizon past the newest fact it took, at most three
//!   horizons from its first, in place of one horizon from the first: only so does a replay that
//!   starts late pair the same facts. Its clock also stays behind by the disorder observe admits.
//! - Join over its limit gives up half of the id space and stays so, in place of a threshold chosen
//!   beforehand: still unbiased, and nothing to configure.
//! - Decide's checkpoint lays out all of its state each time and writes entries whose hash differs.
//!   It is small, and so nothing can be forgotten to be marked as changed.
//! - Outcomes carry their age, in steps of a quarter up to the horizon, and a window matures at
//!   the first age by which nine in ten are in. Taking those that happen to be read would make the
//!   rate of a window depend on the order of reading; the price is a wait of up to a quarter of
//!   what the outcomes took, and for the join's clock.
//! - A schema version is compared with other versions of *its own producers* in the same window.
//!   Against all, a producer that was always different looks like a change of schema.
//! - A source partition whose ledger broke is not stopped in reading: what a commit counts of it
//!   cannot be told from the rest. Its topic's windows are incomplete until someone goes back.
//! - A window of which parts were counted under two definitions is told by neither: both would have
//!   its name. Its rows are counted.
//! - The incarnation of a topic is committed beside its offsets and not told in the ledger: a topic
//!   made anew is a break there, which says as much. So is one whose offsets Kafka forgot with it.
//! - Two deployments with one `app` are told apart by the topics that members of its group read, at
//!   the start alone. A digest of the configuration in what members tell would also refuse the
//!   process that brings a changed configuration to a running deployment.
//! - Partitions are paced against each other within one instance of observe, not across instances.
//! - Without a key of values, what a field has beyond 64 of them is not hashed but left out: an
//!   unkeyed hash can be guessed, and a key made up by a process would differ from the next one's.
//! - Plain JSON without a configured version is named by its shape when a window is closed, for
//!   each producer, and not record by record: observe counts it as `none`. Only a window's exact
//!   counts are the same whoever read it, and a record with a new key still has all the old ones.
//!   So two shapes of one producer are never held against each other in one window, and a path has
//!   to go from 1 % to 99 % of the records to make a version.
//!   `a_path_changes_the_name_by_going_from_one_end_to_the_other`,
//!   `a_path_that_comes_and_goes_is_in_no_name`.
//! - "There is no such schema" is believed after a wait of 10 s, once in ten minutes and partition,
//!   and after eight such names without asking: a record of a new schema among them can be set
//!   aside, and driven in again.

pub mod assess;
pub mod cli;
pub mod config;
pub mod decide;
pub mod demo;
pub mod event;
pub mod infer;
pub mod join;
pub mod observe;
pub mod process;
pub mod publish;
pub mod registry;
pub mod replay;
pub mod rewind;
pub mod runtime;
pub mod serve;
pub mod sketch;
pub mod stage;
pub mod topology;
pub mod verify;
pub mod watch;
