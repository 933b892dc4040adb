-- All payloads that clients may have sealed (connect(encryption=…)), wherever they are. A test compares the columns that this reads with
-- all of type bytea that there are.
create or replace view pgstate._sealed as
select 'chunk'::text as part, k.ctid as place, 0 as field, k.thread_id, k.type::text as type, k.data,
       k.moved_to is not null and exists (select from pgstate.chunk n where n.thread_id = k.thread_id and n.hash = k.moved_to) as moved
  from pgstate.chunk k where k.type in ('sealed', '+sealed')
union all
select 'checkpoint', c.ctid, u.ord::int, c.thread_id, u.type, u.data, false
  from pgstate.checkpoint c cross join lateral unnest(c.types, c.data) with ordinality u (type, data, ord) where u.type = 'sealed'
union all
-- LangGraph's: the form, a zero byte, and the rest
select 'header', c.ctid, 0, c.thread_id, 'sealed', substr(c.header, 8), false
  from pgstate.checkpoint c where substr(c.header, 1, 7) = '\x7365616c656400'::bytea
union all
select 'pending_write', w.ctid, 0, w.thread_id, w.type::text, w.data, false from pgstate.pending_write w where w.type = 'sealed'
union all
select 'input', r.ctid, 0, null, r.input_type, r.input, false from pgstate.run r where r.input_type = 'sealed' and r.input is not null
union all
select 'result', r.ctid, 0, null, r.result_type, r.result, false from pgstate.run r where r.result_type = 'sealed' and r.result is not null
union all
select 'step', s.ctid, 0, null, s.type, s.data, false from pgstate.step s where s.type = 'sealed' and s.data is not null
union all
select 'signal', g.ctid, 0, null, g.type, g.data, false from pgstate.signal g where g.type = 'sealed' and g.data is not null;
comment on view pgstate._sealed is 'Internal: sealed payloads.';
comment on column pgstate._sealed.part is 'What it is of.';
comment on column pgstate._sealed.place is 'Where its row is.';
comment on column pgstate._sealed.field is 'Which channel of a checkpoint.';
comment on column pgstate._sealed.thread_id is 'The thread.';
comment on column pgstate._sealed.type is 'sealed; with + before it, several elements of a list, each behind its length.';
comment on column pgstate._sealed.data is 'The payload.';
comment on column pgstate._sealed.moved is 'There is a chunk that will take its place.';
