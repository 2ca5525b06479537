#!/bin/sh
# Runs a command with Alertmanager's configuration as its standard input. Alertmanager expands no variables, so the configuration is made here
# from the environment; its secrets are neither in a file of the repository nor on a disk.
#
#   sh with-config.sh alertmanager --config.file=/dev/stdin ...     starts Alertmanager
#   sh with-config.sh amtool check-config /dev/stdin                checks the configuration
#   sh with-config.sh cat                                           shows it
#
# Who is told, one or more of:
#   ALERT_WEBHOOK_URL        gets Alertmanager's JSON by POST
#   ALERT_SLACK_URL          an incoming webhook of Slack or of what speaks like it; ALERT_SLACK_CHANNEL for another channel than the webhook's own
#   ALERT_EMAIL_TO           an address, or several with commas; with ALERT_EMAIL_FROM and ALERT_SMTP_SERVER (HOST:PORT) and, if the server asks for
#                            them, ALERT_SMTP_USER and ALERT_SMTP_PASSWORD. ALERT_SMTP_TLS=false for a relay without TLS
set -eu

fail() {
  echo "Alertmanager cannot start: $1" >&2
  exit 78
}

# A string for YAML.
quoted() {
  printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"
}

all=${ALERT_WEBHOOK_URL:-}${ALERT_SLACK_URL:-}${ALERT_SLACK_CHANNEL:-}${ALERT_EMAIL_TO:-}${ALERT_EMAIL_FROM:-}${ALERT_SMTP_SERVER:-}
case $all${ALERT_SMTP_USER:-}${ALERT_SMTP_PASSWORD:-} in *"
"* | *"$(printf '\r')"*) fail "a value of ALERT_... has a line break" ;; esac
case ${ALERT_SMTP_TLS:-true} in true | false) ;; *) fail "ALERT_SMTP_TLS is neither true nor false" ;; esac
[ -n "${ALERT_WEBHOOK_URL:-}${ALERT_SLACK_URL:-}${ALERT_EMAIL_TO:-}" ] ||
  fail "nobody would be told; set ALERT_WEBHOOK_URL, ALERT_SLACK_URL or ALERT_EMAIL_TO"
if [ -n "${ALERT_EMAIL_TO:-}" ]; then
  [ -n "${ALERT_EMAIL_FROM:-}" ] || fail "ALERT_EMAIL_TO needs ALERT_EMAIL_FROM, the sender's address"
  [ -n "${ALERT_SMTP_SERVER:-}" ] || fail "ALERT_EMAIL_TO needs ALERT_SMTP_SERVER, as HOST:PORT"
fi

receiver() {
  echo "  - name: $1"
  if [ -n "${ALERT_WEBHOOK_URL:-}" ]; then
    cat <<END
    webhook_configs:
      - url: $(quoted "$ALERT_WEBHOOK_URL")
        send_resolved: true
END
  fi
  if [ -n "${ALERT_SLACK_URL:-}" ]; then
    cat <<END
    slack_configs:
      - api_url: $(quoted "$ALERT_SLACK_URL")
        channel: $(quoted "${ALERT_SLACK_CHANNEL:-}")
        send_resolved: true
        title: '{{ .Status | toUpper }} ($1): {{ .GroupLabels.alertname }}'
        text: '{{ range .Alerts }}{{ .Annotations.summary }} ({{ .Annotations.runbook_url }}){{ "\n" }}{{ end }}'
END
  fi
  if [ -n "${ALERT_EMAIL_TO:-}" ]; then
    cat <<END
    email_configs:
      - to: $(quoted "$ALERT_EMAIL_TO")
        from: $(quoted "$ALERT_EMAIL_FROM")
        smarthost: $(quoted "$ALERT_SMTP_SERVER")
        auth_username: $(quoted "${ALERT_SMTP_USER:-}")
        auth_password: $(quoted "${ALERT_SMTP_PASSWORD:-}")
        require_tls: ${ALERT_SMTP_TLS:-true}
        send_resolved: true
END
  fi
}

# A page is told at once, and every hour until it is over; a ticket once a day.
config=$(
  cat <<END
route:
  receiver: ticket
  group_by: [alertname]
  group_wait: 1m
  group_interval: 5m
  repeat_interval: 1d
  routes:
    - receiver: page
      matchers: ['severity="page"']
      group_wait: 5s
      group_interval: 1m
      repeat_interval: 1h
receivers:
END
  receiver page
  receiver ticket
)
exec "$@" <<END
$config
END
