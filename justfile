# The habits of this repository; `just` lists them.

_default:
    @just --list

# A devnet with live trading and a liquidation.
dev *ARGS:
    cargo run --release --bin tidemarkd -- devnet {{ARGS}}

# Prometheus' own check of the alerts; installs promtool the first time, which takes minutes.
alerts:
    TIDEMARK_ALERTS=1 cargo test --release -p tidemark-tests --test alerts -- --nocapture

# Everything that CI runs as tests.
test:
    cargo test --release --workspace

# Format and lints, as CI runs them; `cargo deny` where it is installed.
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    if command -v cargo-deny >/dev/null; then cargo deny --offline check; \
        else echo "cargo-deny is not installed: skipped"; fi

# Documentation of every crate, without warnings.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# All benchmarks; each prints a table and writes target/bench/NAME.json.
bench: bench-chain bench-exec bench-matching bench-oracle bench-risk

# Block time, committed orders per second and latency, with one validator and with four.
bench-chain *ARGS:
    cargo run --release -p tidemark-tests --bin bench-chain -- {{ARGS}}

# The pace of four validators while one of them is away
bench-absent:
    cargo run --release -p tidemark-tests --bin bench-chain -- --absent

# What the transactions of full blocks cost by phase, without consensus and signatures.
bench-exec *ARGS:
    cargo run --release -p tidemark-tests --bin bench-exec -- {{ARGS}}

# Prices in a block: encode, verify, decode, aggregate; and the reports' part of a block of four
# validators.
bench-oracle *ARGS:
    cargo run --release -p tidemark-tests --bin bench-oracle -- {{ARGS}}

# The order book beside other engines on one stream; without the peers where they do not build.
bench-matching *ARGS:
    cargo build --release --locked --manifest-path tests/bench-matching/Cargo.toml \
        --target-dir target/bench-matching || \
        cargo build --release --locked --manifest-path tests/bench-matching/Cargo.toml \
        --target-dir target/bench-matching --no-default-features
    target/bench-matching/release/bench-matching {{ARGS}}

# The search for accounts at risk among a million, by the index and by looking at everyone; blocks
# with many idle accounts.
bench-risk *ARGS:
    cargo run --release -p tidemark-tests --bin bench-risk -- {{ARGS}}

# Two of four validators locked on an order, and two minutes without a network: the chain goes on.
partition SECONDS="120":
    TIDEMARK_PARTITION_SECONDS={{SECONDS}} cargo test --release -p tidemark-tests \
        --test e2e_partition -- --nocapture

# Every attacker at once for so many seconds against four validators, with honest owners beside; exit
# code 1 if honest transactions come late, blocks slowly, or anything that was accepted is lost.
hostile SECONDS="300" *ARGS:
    cargo run --release -p tidemark-tests --bin hostile -- {{SECONDS}} {{ARGS}}

# From a cancel to its effect with 0, 1, 12 and 60 own orders on their way, on four validators.
bench-cancels:
    cargo run --release -p tidemark-tests --bin hostile -- --cancels

# N kills of validators at any moment under load: each order that was accepted is carried out once.
kills N="200" *ARGS:
    cargo run --release -p tidemark-tests --bin kills -- {{N}} {{ARGS}}

# A random history on shadow nodes from a seed: they must agree on every app hash.
sim SEED="1" *ARGS:
    cargo run --release -p tidemark-tests --bin sim -- --seed {{SEED}} {{ARGS}}

# An owner of many accounts searches for a way to win from the fund, the other traders or the chain's
# time: one seed, some seconds; exit code 1 with the shortest programs found when a bound is passed.
adversary SEED="1" *ARGS:
    cargo run --release -p tidemark-tests --bin adversary -- {{SEED}} {{ARGS}}

# The same for a range of seeds: a line for each in target/adversary.txt, continued where it ended.
adversary-all FROM TO *ARGS:
    cargo run --release -p tidemark-tests --bin adversary -- {{FROM}} {{TO}} {{ARGS}}

# The same search with each defence switched off in turn, over at most so many seeds: each must find
# what the defence prevents.
adversary-off TO="40":
    #!/usr/bin/env bash
    set -euo pipefail
    for rule in depth band keeper-places expiry fresh-lots fund-buckets \
        waiting-turns exits; do
        echo "== without $rule"
        ! cargo run -q --release -p tidemark-tests --features switches --bin adversary -- \
            1 {{TO}} --off "$rule" || { echo "nothing found without $rule"; exit 1; }
    done

# Damaged and random bytes for one part of the program (transactions, messages, commits, reports,
# frames, snapshots, genesis, prices, texts, blocks, book), for so many seconds; an input on which
# the part fails is kept in target/fuzz. The part `work` searches for the transaction that takes
# longest for its gas, and keeps the worst there.
fuzz NAME SECONDS="60" *ARGS:
    FUZZ_TARGET={{NAME}} cargo run --release -p tidemark-tests --bin fuzz -- \
        --seconds {{SECONDS}} --seed $(date +%s) {{ARGS}}

# Every random test with other inputs than the test command's, once for each seed.
properties FROM TO:
    #!/usr/bin/env bash
    set -euo pipefail
    for seed in $(seq {{FROM}} {{TO}}); do
        echo "== seed $seed"
        PROPTEST_RNG_SEED=$seed cargo test -q --release -p tidemark-matching -p tidemark-risk \
            -p tidemark-oracle -p tidemark-feed -p tidemark-proto -p tidemark-engine \
            -p tidemark-consensus
        PROPTEST_RNG_SEED=$seed cargo test -q --release -p tidemark-tests \
            --test fund --test lessons --test pauses
    done

# A benchmark (bench-exec, bench-matching, …) of a revision and of this tree, in turns: five figures
# of each, and the median ratio of every throughput.
pairs REV BENCH *ARGS:
    cargo run --release -p tidemark-tests --bin pairs -- {{REV}} {{BENCH}} {{ARGS}}

# The recorded crash of 2025-10-10 on thousands of leveraged accounts: the work of each liquidation
# stage, under both rules of deleveraging.
crash-replay *ARGS:
    cargo run --release -p tidemark-tests --bin crash-replay -- {{ARGS}}

# Figures of independent test suites, through the production functions.
cases +FILES:
    cargo run --release -p tidemark-tests --bin cases -- {{FILES}}

# All that a change needs.
pr: lint doc test
