//! What can be wrong with a store, and which check finds it.

macro_rules! defects {
    ($($defect:ident => $check:literal,)+) => {
        /// What a store does wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Defect { $($defect,)+ }

        impl Defect {
            pub(crate) const ALL: [Self; [$($check),+].len()] = [$(Self::$defect),+];

            /// The one check that finds it.
            pub(crate) const fn found_by(self) -> &'static str {
                match self { $(Self::$defect => $check,)+ }
            }
        }
    };
}
defects! {
    LeasesForAll => "one_lease_at_a_time",
    AnyTokenWhileLeased => "fills_need_the_lease_of_their_key",
    FillsWithoutLease => "fills_by_nobody_are_fenced",
    LeasesSurviveFills => "leases_are_used_once",
    LeasesNeverEnd => "leases_end",
    TakenOverLeasesFill => "leases_taken_over_do_not_fill",
    ReleasesIgnored => "releases_free_the_key",
    OneTokenAKey => "tokens_are_not_used_again",
    StaysBusyWhenDropped => "dropped_calls_leave_it_usable",
    ReadsConsume => "values_are_found",
    NothingExpires => "values_expire",
    GraceIsFresh => "stale_is_not_fresh",
    StaleLeasesForAll => "stale_values_are_leased_once",
    GraceNeverEnds => "graces_end",
    EarlyLeasesForAll => "early_asks_are_leased_once",
    LeftStandsStill => "what_is_left_shrinks",
    LongTimesWrap => "times_may_be_long",
    FramesTrimmed => "frames_come_back_whole",
    TagsDropped => "tags_come_back",
    KeysAsText => "keys_are_bytes",
    NewsOfAllNamespaces => "namespaces_are_apart",
    RemovedKeysStay => "removed_keys_are_gone",
    SchemasApart => "removed_keys_are_gone_in_every_schema",
    LeasesSurviveRemoval => "removed_keys_lose_their_leases",
    FirstKeyOfScope => "every_removed_key_is_gone",
    FirstLeaseOfScope => "every_removed_key_is_gone",
    FirstTagOnly => "removed_tags_are_gone",
    FirstTagOfScope => "every_removed_tag_is_gone",
    BornWhenFilled => "removed_tags_outrun_loads",
    ClearKeepsTagged => "removed_namespaces_are_gone",
    LeasesSurviveClear => "removed_namespaces_lose_their_leases",
    StaleIgnoresTags => "removed_values_are_not_stale",
    StaleSurvivesRemoval => "removed_values_are_not_stale",
    EarlyIgnoresTags => "removed_values_are_not_told_early",
    LeasesBesideValuesSurvive => "leases_beside_values_end",
    TagsRemoveAll => "removals_spare_the_rest",
    RemovedTagsStayRemoved => "values_return_after_removals",
    AnswersSorted => "batches_are_answered_in_order",
    AnswersOncePerKey => "each_key_is_answered",
    FillsTogether => "fills_stand_alone",
    BatchesBornAsYoungest => "fills_are_as_old_as_their_leases",
    BatchesBornAsOldest => "fills_are_as_old_as_their_leases",
    BatchesCut => "batches_may_be_long",
    StrangersToldNothingHappened => "strangers_know_nothing",
    TagsNotTold => "every_kind_is_told",
    FirstKeyTold => "every_removed_key_is_told",
    FirstTagTold => "every_removed_tag_is_told",
    NewsReversed => "news_keep_order",
    NewsMerged => "each_removal_is_told",
    NewsRepeated => "news_are_told_once",
    EpochIgnored => "other_lives_are_gaps",
    AheadIsNoGap => "positions_ahead_are_gaps",
    LogForgets => "forgotten_removals_are_gaps",
    ChecksThenStores => "fills_meet_removals",
    RemovesThenFences => "fills_meet_removals",
    TellsThenRemoves => "removals_are_told_once_done",
}
