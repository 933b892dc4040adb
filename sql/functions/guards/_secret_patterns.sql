-- What is taken for a secret: rules, most specific first. They are kept here once; the Python client reads this file, and
-- a test has both agree. So only what a regular expression means alike in Postgres and in Python's re: explicit classes,
-- lookaround, no \s or \w, no lazy quantifiers, alternatives of which only one can fit. They are matched against JSON texts
-- too, where a line break is \n: hence (?<=\\[nrt]) beside each boundary; no match begins or ends inside an escape.
-- No rule goes by entropy: that would flag every UUID and digest. What contains a match contains one of _secret_shape(), one of _secret_hint(), and
-- one of the needles that stand behind its rule, divided by |: a rule is tried where one of them is. (Lookbehind makes a regular expression
-- slow: 80 ms for each rule and megabyte, where looking for all needles takes 15. Text like base64 has the hint of something everywhere.)
create function pgstate._secret_patterns() returns text[]
language plpgsql immutable parallel safe
as $$
begin
  return array[
    ['aws_access_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])$re$, 'AKIA|ASIA'],
    ['google_api_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))AIza[A-Za-z0-9_-]{35}$re$, 'AIza'],
    ['azure_storage_key', $re$AccountKey=[A-Za-z0-9+/]{86}==$re$, 'AccountKey='],
    ['anthropic_api_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))sk-ant-[A-Za-z0-9_-]{24,}$re$, 'sk-ant-'],
    ['openai_api_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}$re$, 'sk-proj-|sk-svcacct-|sk-admin-'],
    ['model_provider_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:sk-(?:or-v1-)?[A-Za-z0-9]{32,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,})$re$, 'sk-|gsk_|xai-'],
    ['huggingface_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))hf_[A-Za-z0-9]{30,}$re$, 'hf_'],
    ['github_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})$re$, 'gho_|ghp_|ghs_|ghu_|ghr_|github_pat_'],
    ['gitlab_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))glpat-[A-Za-z0-9_-]{20,}$re$, 'glpat-'],
    ['slack_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:xox[abeoprs]-[A-Za-z0-9-]{20,}|xapp-[A-Za-z0-9-]{40,})$re$, 'xoxa-|xoxb-|xoxe-|xoxo-|xoxp-|xoxr-|xoxs-|xapp-'],
    ['stripe_key', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))[rs]k_live_[A-Za-z0-9]{20,}$re$, 'k_live_'],
    ['registry_token', $re$(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:npm_[A-Za-z0-9]{36}|pypi-A[A-Za-z0-9_-]{50,})$re$, 'npm_|pypi-A'],
    ['private_key', $re$-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?:[\n\r]|\\+[nr])[ \t]*)*(?:[A-Z][A-Za-z-]+: (?:[^\\"\n\r-]|-(?!----))*(?:(?:[\n\r]|\\+[nr])[ \t]*)+)*(?:[A-Za-z0-9+/=]|(?:[\n\r]|\\+[nr])[ \t]*)*(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)?$re$, 'PRIVATE KEY'],
    ['jwt', $re$(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}$re$, '.eyJ'],
    ['connection_string', $re$://[^/?# "\\\n\r\t:@]*:(?!\$CRED\{|\$\{|<|\*|\[redacted)[^/?# "\\\n\r\t,@]+@$re$, '://']
  ];
end
$$;
comment on function pgstate._secret_patterns() is 'Internal: rules for what is taken for a secret, each a name, a regular expression, and needles of which every match contains one.';
