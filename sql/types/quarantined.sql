create type pgstate.quarantined as (
  action text, key text, status text, version bigint, from_version bigint, to_version bigint, old_value jsonb, new_value jsonb, detail jsonb
);
comment on type pgstate.quarantined is 'What quarantine() does or found: suspend, release, put, delete, distrust; undo, of what it may not; left for whoever asks: derived, thread, run, open, more, again.';
