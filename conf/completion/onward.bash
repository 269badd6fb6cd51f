# Written by `onward docs bash` from app/command_line.cpp; do not edit.
_onward() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path='' words='' word next
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="${path:+$path }$word"
    case $next in
      'serve'|'reload'|'drain'|'stop'|'check'|'status'|'recover'|'queue'|'queue list'|'queue show'|'queue retry'|'queue hold'|'queue release'|'queue fail'|'queue delete'|'queue rules'|'queue rules list'|'queue rules add'|'queue rules remove'|'log'|'trace'|'ledger'|'ledger list'|'ledger show'|'tlsrpt'|'tlsrpt show'|'tlsrpt send'|'route'|'try'|'srs'|'srs encode'|'srs decode'|'auth'|'auth spf'|'dkim'|'dkim keygen'|'dns'|'dns records'|'dns check'|'setup'|'import'|'import postfix'|'import csv'|'import cloudflare') path=$next ;;
    esac
  done
  case "$path $prev" in
    'queue list --state') words='active deferred hold' ;;
    'queue retry --state') words='active deferred hold' ;;
    'queue hold --state') words='active deferred hold' ;;
    'queue release --state') words='active deferred hold' ;;
    'queue fail --state') words='active deferred hold' ;;
    'queue delete --state') words='active deferred hold' ;;
    'log --status') words='forwarded rejected deferred queued dropped delivered bounced' ;;
    'dkim keygen --type') words='rsa2048 ed25519' ;;
    'dns records --format') words='zone json cloudflare' ;;
    *' -c' | *' --config') words='' ;;
    *) case $path in
    '') words='serve reload drain stop check status recover queue log trace ledger tlsrpt route try srs auth dkim dns setup import --help --version --config --json' ;;
    'serve') words='--help --config --json' ;;
    'reload') words='--help --config --json' ;;
    'drain') words='--help --config --json' ;;
    'stop') words='--help --config --json' ;;
    'check') words='--help --config --json --diff' ;;
    'status') words='--help --config --json --watch --interval' ;;
    'recover') words='--help --config --json' ;;
    'queue') words='list show retry hold release fail delete rules --help --config --json' ;;
    'queue list') words='--help --config --json --to --sender --rcpt --state --older --all' ;;
    'queue show') words='--help --config --json' ;;
    'queue retry') words='--help --config --json --to --sender --rcpt --state --older --all' ;;
    'queue hold') words='--help --config --json --to --sender --rcpt --state --older --all --reason' ;;
    'queue release') words='--help --config --json --to --sender --rcpt --state --older --all' ;;
    'queue fail') words='--help --config --json --to --sender --rcpt --state --older --all' ;;
    'queue delete') words='--help --config --json --to --sender --rcpt --state --older --all' ;;
    'queue rules') words='list add remove --help --config --json' ;;
    'queue rules list') words='--help --config --json' ;;
    'queue rules add') words='--help --config --json --to --sender --rcpt --reason --for' ;;
    'queue rules remove') words='--help --config --json' ;;
    'log') words='--help --config --json --follow --since --rcpt --from --id --status --most' ;;
    'trace') words='--help --config --json' ;;
    'ledger') words='list show --help --config --json' ;;
    'ledger list') words='--help --config --json --most' ;;
    'ledger show') words='--help --config --json' ;;
    'tlsrpt') words='show send --help --config --json' ;;
    'tlsrpt show') words='--help --config --json --domain' ;;
    'tlsrpt send') words='--help --config --json --domain' ;;
    'route') words='--help --config --json --from --ip' ;;
    'try') words='--help --config --json --ip --helo --from --to' ;;
    'srs') words='encode decode --help --config --json' ;;
    'srs encode') words='--help --config --json' ;;
    'srs decode') words='--help --config --json' ;;
    'auth') words='spf --help --config --json --ip --helo --mail-from --time --dns-server' ;;
    'auth spf') words='--help --config --json --ip --helo --mail-from --time --dns-server' ;;
    'dkim') words='keygen --help --config --json' ;;
    'dkim keygen') words='--help --config --json --type --out' ;;
    'dns') words='records check --help --config --json' ;;
    'dns records') words='--help --config --json --address --format' ;;
    'dns check') words='--help --config --json --address --all' ;;
    'setup') words='--help --config --json --hostname --domain --local-part --to --postmaster --srs-domain --listen --certificate --key --user --address' ;;
    'import') words='postfix csv cloudflare --help --config --json' ;;
    'import postfix') words='--help --config --json --domain --out --origin' ;;
    'import csv') words='--help --config --json --domain --out' ;;
    'import cloudflare') words='--help --config --json --domain --out' ;;
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _onward onward
