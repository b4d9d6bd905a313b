#!/bin/sh
# What the profile `secure` of docker-compose.yml needs before its first start, made once and kept in its volume: an authority for
# certificates, an operator with the accounts of one tenant, a user for each connection, the cluster key. Each service then gets
# a folder with what is its own, and sees no other.
set -eu
umask 077
cd /var/lib/trellis-keys

if [ ! -e made ]; then
  # Left by a first start that was cut short.
  rm -rf pki store export nats hello-host chain-host command-line cluster.seed
  trellis auth ca init --out pki
  trellis auth ca issue nats --ca pki --dns secure-nats,localhost --ip 127.0.0.1
  trellis auth init --store store
  trellis auth tenant add dev --lattice default --store store
  # No more than each of them does: what it serves, and what it calls.
  trellis auth host add hello-host --tenant dev --components hello --calls '' --expires 365d --store store
  trellis auth host add chain-host --tenant dev --components greeter-chain,echo --calls hello --expires 365d --store store
  trellis auth user add command-line --kind operator --tenant dev --expires 365d --store store
  trellis keys gen cluster --out cluster.seed
  : >made
fi

# Of this configuration the server takes the operator and the accounts; address, TLS and JetStream stand in secure-nats.conf.
trellis auth export --store store --out export --resolver memory --no-jetstream --force
mkdir -p nats/jetstream
cp export/nats-server.conf nats/accounts.conf
cp pki/ca.pem pki/nats.pem pki/nats-key.pem nats/
for member in hello-host chain-host command-line; do
  mkdir -p "$member"
  cp "export/creds/dev-ctl/$member-ctl.creds" "$member/ctl.creds"
  cp "export/creds/dev-rpc/$member-rpc.creds" "$member/rpc.creds"
  cp pki/ca.pem cluster.seed "$member/"
done
