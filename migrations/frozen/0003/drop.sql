-- Back to 0002.
set local role pgstate_owner;
alter type pgstate._actor drop attribute horizon;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept.';
drop type pgstate._look;
drop type pgstate._feed_row;

-- Points of the feed are no longer thinned. Keys that were purged start from 1 again: 0002 has nothing to keep it from.
drop table pgstate.thinning;
drop sequence pgstate.version_floor;
drop type pgstate._purged;

-- What tells of restores; 0002 knows no horizon of a past before one.
update pgstate.install i set horizon = null where i.horizon_epoch < i.epoch;
alter table pgstate.install
  drop column horizon_epoch,
  drop column table_oid;
update pgstate.reducer r
   set digest = sha256(convert_to(row(p.prolang, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                      coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'))
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 where n.nspname = r.function_schema and p.proname = r.function_name and p.proargtypes = '3802 3802'::oidvector
   and r.digest = sha256(convert_to(row(l.lanname, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'));

-- Search
drop table pgstate.embedding_wanted, pgstate.embedding, pgstate.search_doc, pgstate.search_build, pgstate.search_rule, pgstate.vector_index;
drop type pgstate._search_part;
drop type pgstate.embedded;
drop type pgstate.found;
drop type pgstate.search_row;
drop type pgstate.unembedded_row;
drop type pgstate.vectors_row;

reset role;
