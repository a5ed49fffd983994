-- The tables of a store, read by any DuckDB client. Values are FLOAT or DOUBLE, one column a metric; NULL is "not measured
-- here", NaN and Inf are stored as such. Large tables have no primary key: it costs 6 times the space.

CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL);
COMMENT ON TABLE schema_version IS 'One row: the version of these tables';

CREATE TABLE IF NOT EXISTS runs (
    run VARCHAR PRIMARY KEY,
    strategy VARCHAR,
    group_name VARCHAR,
    status VARCHAR,
    model VARCHAR,
    n_layers INTEGER,
    n_params BIGINT,
    seed BIGINT,
    data_id VARCHAR,
    config JSON,
    tags VARCHAR[],
    started_at TIMESTAMP,
    heartbeat_at TIMESTAMP,
    ended_at TIMESTAMP,
    first_step BIGINT,
    last_step BIGINT,
    world_size INTEGER,
    environment JSON
);
COMMENT ON TABLE runs IS 'One row a run; times are UTC';
COMMENT ON COLUMN runs.strategy IS 'Norm strategy as labelled by the user, else the detected placement';
COMMENT ON COLUMN runs.status IS 'running, finished, failed or interrupted; a running run without a heartbeat is shown as stalled';
COMMENT ON COLUMN runs.data_id IS 'Hash of the training data; comparisons across different values carry a caveat';

CREATE TABLE IF NOT EXISTS attempts (attempt VARCHAR, run VARCHAR, from_step BIGINT, started_at TIMESTAMP);
COMMENT ON TABLE attempts IS 'Each watch() of a run; a later attempt replaces the rows of earlier ones from from_step on';

CREATE TABLE IF NOT EXISTS layers (
    run VARCHAR, stack VARCHAR, layer INTEGER, name VARCHAR, kind VARCHAR, n_params BIGINT, norm_placement VARCHAR, shared BOOLEAN
);
COMMENT ON TABLE layers IS 'Layer 0 is the stream as it enters block 1, layers 1..L are the blocks';

CREATE TABLE IF NOT EXISTS metrics (
    name VARCHAR, unit VARCHAR, title VARCHAR, formula VARCHAR, source VARCHAR, reduction VARCHAR
);
COMMENT ON TABLE metrics IS 'What each column of layer_stats means';

CREATE TABLE IF NOT EXISTS layer_stats (run VARCHAR, step BIGINT, phase VARCHAR, stack VARCHAR, layer INTEGER, site VARCHAR);
COMMENT ON TABLE layer_stats IS 'One row a step, phase, layer and site; a column a metric (see table metrics), added as it first appears';
COMMENT ON COLUMN layer_stats.phase IS 'train: training forwards; probe: the fixed held-out batch in eval mode';
COMMENT ON COLUMN layer_stats.site IS 'resid_post, resid_mid, attn_out, mlp_out, attn_raw, mlp_raw, resid_sum, block, attn, mlp, embed, final_norm, head, norm';

CREATE TABLE IF NOT EXISTS massive (
    run VARCHAR, step BIGINT, phase VARCHAR, stack VARCHAR, layer INTEGER, rank INTEGER, value FLOAT, median_abs FLOAT,
    count BIGINT, sequence BIGINT, token BIGINT, channel BIGINT
);
COMMENT ON TABLE massive IS 'The three largest activations of each block output; count is by the rule of arXiv 2402.17762';

CREATE TABLE IF NOT EXISTS steps (
    run VARCHAR, step BIGINT, wall_time DOUBLE, tokens BIGINT, loss DOUBLE, lr DOUBLE, grad_norm DOUBLE, clip_factor DOUBLE,
    loss_scale DOUBLE, skipped BOOLEAN, sampled BOOLEAN
);
COMMENT ON TABLE steps IS 'One row a step; step k is the forward and backward on weights after k updates';
COMMENT ON COLUMN steps.wall_time IS 'Unix time in seconds when the step closed';
COMMENT ON COLUMN steps.skipped IS 'Gradients overflowed under loss scaling: an update at this step was dropped';
COMMENT ON COLUMN steps.tokens IS 'Real tokens trained on up to and including this step';
COMMENT ON COLUMN steps.grad_norm IS 'Total parameter gradient norm before clipping';

CREATE TABLE IF NOT EXISTS scalars (run VARCHAR, step BIGINT, name VARCHAR, value DOUBLE);
COMMENT ON TABLE scalars IS 'Whatever else the user logs';

CREATE TABLE IF NOT EXISTS events (run VARCHAR, step BIGINT, kind VARCHAR, text VARCHAR);
COMMENT ON TABLE events IS 'Resumes, phases, warnings';

CREATE TABLE IF NOT EXISTS interventions (
    run VARCHAR, step BIGINT, stack VARCHAR, layer INTEGER, span INTEGER, site VARCHAR, action VARCHAR, loss DOUBLE, delta DOUBLE,
    delta_se DOUBLE, tokens BIGINT
);
COMMENT ON TABLE interventions IS 'Held-out loss when blocks are skipped, branches zeroed, blocks repeated';

CREATE TABLE IF NOT EXISTS distances (run VARCHAR, step BIGINT, stack VARCHAR, layer INTEGER, span INTEGER, angular_distance FLOAT);
COMMENT ON TABLE distances IS 'Angular distance between the input of layer and the output span blocks later (arXiv 2403.17887)';

CREATE TABLE IF NOT EXISTS layer_effects (
    run VARCHAR, step BIGINT, stack VARCHAR, layer INTEGER, later_layer INTEGER, measure VARCHAR, value DOUBLE
);
COMMENT ON TABLE layer_effects IS 'Effect of skipping a layer on the contributions of later ones (arXiv 2505.13898)';

CREATE TABLE IF NOT EXISTS sparsity (
    run VARCHAR, step BIGINT, definition VARCHAR, pattern VARCHAR, scope VARCHAR, ranking VARCHAR, weights VARCHAR, sparsity DOUBLE,
    loss DOUBLE, loss_se DOUBLE, tokens BIGINT
);
COMMENT ON TABLE sparsity IS 'Held-out loss against sparsity (Essential Sparsity, NeurIPS 2023)';

CREATE TABLE IF NOT EXISTS sparsity_layers (
    run VARCHAR, step BIGINT, stack VARCHAR, layer INTEGER, matrix VARCHAR, threshold DOUBLE, near_zero DOUBLE, pruned_share DOUBLE
);
COMMENT ON TABLE sparsity_layers IS 'Near-zero fractions and pruned share of each matrix';

CREATE TABLE IF NOT EXISTS high_water (attempt VARCHAR, rank INTEGER, seq BIGINT, PRIMARY KEY (attempt, rank));
COMMENT ON TABLE high_water IS 'Newest segment of each writer that is folded in: what makes ingest exactly-once';
