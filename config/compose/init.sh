#!/bin/sh
# What the profiles `secure` and `leaf` of docker-compose.yml need before their first start, made once and kept in a volume: an
# authority for certificates, an operator with the accounts of one tenant, users, the cluster key. Each service then gets a
# folder with what is its own, and sees no other.
set -eu
umask 077
cd /var/lib/trellis-keys

case "$1" in
  # The hosts log in at the server themselves.
  secure) server=secure-nats with='make-buckets' leaf='' ;;
  # Their leaf nodes do, with users that only a leaf node can log in as; JetStream is the hub's.
  leaf) server=leaf-hub with='make-buckets,jetstream-domain --value domain=hub' leaf=--leaf ;;
esac

if [ ! -e made ]; then
  # Left by a first start that was cut short.
  rm -rf pki store export cluster.seed
  trellis auth ca init --out pki
  trellis auth ca issue nats --ca pki --dns "$server,localhost" --ip 127.0.0.1
  trellis auth init --store store
  # shellcheck disable=SC2086 -- several words are meant
  trellis auth tenant add dev --lattice default --with $with --store store
  # No more than each of them does: what it serves, and what it calls.
  trellis auth host add hello-host $leaf --tenant dev --components hello --calls '' --expires 365d --store store
  trellis auth host add chain-host $leaf --tenant dev --components greeter-chain,echo --calls hello --expires 365d --store store
  trellis auth user add command-line --kind operator --tenant dev --expires 365d --store store
  trellis keys gen cluster --out cluster.seed
  : >made
fi

# Of this configuration the server takes the operator and the accounts; address, TLS and JetStream stand in secure-nats.conf and leaf-hub.conf.
trellis auth export --store store --out export --resolver memory --no-jetstream --force
mkdir -p nats/jetstream
cp export/nats-server.conf nats/accounts.conf
cp pki/ca.pem pki/nats.pem pki/nats-key.pem nats/

# login FOLDER MEMBER: what logs in as a member.
login() {
  mkdir -p "$1"
  cp "export/creds/dev-ctl/$2-ctl.creds" "$1/ctl.creds"
  cp "export/creds/dev-rpc/$2-rpc.creds" "$1/rpc.creds"
  cp pki/ca.pem "$1/"
}
for member in hello-host chain-host command-line; do
  mkdir -p "$member"
  cp cluster.seed "$member/"
  if [ -n "$leaf" ] && [ "$member" != command-line ]; then
    login "$member-leaf" "$member"
    trellis leaf config --hub "tls://$server:7422" --name "$member" --domain hub --lattice default --ca "$member-leaf/ca.pem" \
      --ctl-creds "$member-leaf/ctl.creds" --rpc-creds "$member-leaf/rpc.creds" --out "$member-leaf" --files-in /run/leaf \
      --ctl-seed "$member/leaf-ctl.seed" --host-files-in /run/host \
      --host-base "/app/config/compose/leaf-${member%-host}.yaml" --host-config "$member/host.yaml" --force
  else
    login "$member" "$member"
  fi
done
