-- Where another history is to be kept than before, which goes through the keys there and nowhere else: nobody who administers
-- one subtree can send retention back to the beginning for all.
create table pgstate.review (
  subtree text collate "C" not null,
  after text collate "C" not null default '',
  asked_at timestamptz not null default pg_catalog.now(),
  constraint review_pkey primary key (subtree)
);
comment on table pgstate.review is 'Keys and subtrees whose policy on history has changed, and the key up to which retention has gone through them since.';
comment on column pgstate.review.subtree is 'The key or subtree.';
comment on column pgstate.review.after is 'Keys up to this one are done.';
comment on column pgstate.review.asked_at is 'When its policy changed.';
