#!/usr/bin/env bash
# A Kerberos of its own for the secured broker of kafka.sh, which sources this: MIT's KDC on
# loopback, a realm with the broker in it, and keytabs for who logs in.
#
# Needs krb5kdc, kdb5_util and kadmin.local (Debian: krb5-kdc and krb5-admin-server).

KERBEROS_REALM=DRIFTLINE.LOCAL
KDC_PORT=$((SECURED_PORT + 3))
KERBEROS_HOME="$SECURED_HOME/kerberos"

# Runs one of MIT's programs on this realm.
in_realm() {
  local path="$PATH:/usr/sbin"
  PATH="$path" KRB5_CONFIG="$KERBEROS_HOME/krb5.conf" KRB5_KDC_PROFILE="$KERBEROS_HOME/kdc.conf" "$@"
}

kdc_alive() { [[ -f "$KERBEROS_HOME/pid" ]] && kill -0 "$(cat "$KERBEROS_HOME/pid")" 2>/dev/null; }

write_kerberos_files() {
  cat >"$KERBEROS_HOME/krb5.conf" <<CONF
[libdefaults]
default_realm = $KERBEROS_REALM
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
$KERBEROS_REALM = {
  kdc = 127.0.0.1:$KDC_PORT
}
[logging]
default = FILE:$KERBEROS_HOME/kdc.log
CONF
  cat >"$KERBEROS_HOME/kdc.conf" <<CONF
[kdcdefaults]
kdc_listen = 127.0.0.1:$KDC_PORT
kdc_tcp_listen = 127.0.0.1:$KDC_PORT
[realms]
$KERBEROS_REALM = {
  database_name = $KERBEROS_HOME/principals
  key_stash_file = $KERBEROS_HOME/stash
}
CONF
}

# A principal with a key that only FILE knows.
keytab() {
  local name="$1" file="$2"
  kdc_alive || die "no Kerberos beside the broker at port $SECURED_PORT: DRIFTLINE_KERBEROS=1 $0 up secured"
  in_realm kadmin.local -q "addprinc -randkey $name" >>"$KERBEROS_HOME/kadmin.log" 2>&1
  in_realm kadmin.local -q "ktadd -k $file $name" >>"$KERBEROS_HOME/kadmin.log" 2>&1
  [[ -f "$file" ]] || die "no keytab for $name (log: $KERBEROS_HOME/kadmin.log)"
}

start_kdc() {
  local program
  for program in krb5kdc kdb5_util kadmin.local; do
    in_realm command -v "$program" >/dev/null ||
      die "$program not found: install krb5-kdc and krb5-admin-server"
  done
  (
    umask 077
    mkdir -p "$KERBEROS_HOME"
    write_kerberos_files
    in_realm kdb5_util create -s -r "$KERBEROS_REALM" -P "$(openssl rand -hex 16)" \
      >"$KERBEROS_HOME/kadmin.log" 2>&1 ||
      { cat "$KERBEROS_HOME/kadmin.log" >&2; die "could not make the realm in $KERBEROS_HOME"; }
    in_realm nohup krb5kdc -n -P "$KERBEROS_HOME/pid" \
      </dev/null >>"$KERBEROS_HOME/kdc.log" 2>&1 &
  )
  local ends=$((SECONDS + READY_SECONDS))
  until kdc_alive && answers "$KDC_PORT"; do
    [[ $SECONDS -lt $ends ]] || die "no KDC after $READY_SECONDS s (log: $KERBEROS_HOME/kdc.log)"
    sleep 0.1
  done
  keytab "kafka/127.0.0.1" "$KERBEROS_HOME/broker.keytab"
}

stop_kdc() { if kdc_alive; then kill "$(cat "$KERBEROS_HOME/pid")" 2>/dev/null || true; fi; }

# What the broker is told of it. It looks at tickets and asks for none.
kerberos_settings() {
  cat <<PROPERTIES
sasl.kerberos.service.name=kafka
listener.name.sasl_ssl.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true isInitiator=false keyTab="$KERBEROS_HOME/broker.keytab" principal="kafka/127.0.0.1@$KERBEROS_REALM";
PROPERTIES
}
