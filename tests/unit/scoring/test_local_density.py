"""Eq. 2 and 3 agree with the golden data, conditioning with its definition; no clip's score depends on other clips."""

from pathlib import Path

import numpy as np
import pytest
from one_line import one_line_error
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from workflow_lib.scoring import Conditioner, domain_conditioned_score, local_density_score
from workflow_lib.scoring.conditioning import view_matrix
from workflow_lib.scoring.local_density import neighbourhood_notes

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "dld" / "dld.npz")
CASES = ["main", "duplicates", "small_banks", "single_target", "identical_target", "dim1"]
SETTINGS = [
    (case, metric, k)
    for case in CASES
    for metric in ("euclidean", "cosine")
    for k in ((16, 9), (8, 5))
    if f"{case}/{metric}/{k[0]}_{k[1]}/A" in GOLDEN
]


def golden_case(case):
    """Source bank, target bank and queries."""
    return [GOLDEN[f"{case}/{name}"] for name in ("source", "target", "query")]


def normals(n_clips, n_features, seed=0):
    """Correlated float32 vectors of very unlike scales, as token statistics are."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) * np.geomspace(1, 1e-2, n_features)[:, None]
    return (rng.normal(size=(n_clips, n_features)) @ mixing + rng.normal(size=n_features) * 5).astype(np.float32)


# ---- Eq. 2 and 3 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("score", "least", "mask", "match"), [("D", "A", "ok", "nearest"), ("R", "A_ratio", "okr", "ratio")]
)
@pytest.mark.parametrize(("case", "metric", "k"), SETTINGS)
def test_scores_equal_the_golden_ones_of_each_domain_and_their_minimum(
    case, metric, k, score, least, mask, match, dtype
):
    source, target, query = (array.astype(dtype) for array in golden_case(case))
    prefix, rtol = f"{case}/{metric}/{k[0]}_{k[1]}/", 1e-9 if dtype == np.float64 else 1e-4
    sound = {domain: GOLDEN[f"{prefix}{mask}_{domain}"] for domain in "st"}
    sound[""] = sound["s"] & sound["t"]
    for domain, name, got in (
        ("s", f"{score}_s", local_density_score(query, source, k[0], metric, match)),
        ("t", f"{score}_t", local_density_score(query, target, k[1], metric, match)),
        ("", least, domain_conditioned_score(query, source, target, k, metric, match)),
    ):
        np.testing.assert_allclose(got[sound[domain]], GOLDEN[prefix + name][sound[domain]], rtol=rtol)
        assert got.dtype == np.float64 and np.isfinite(got).all() and (got >= 0).all()


def test_golden_data_are_mostly_well_conditioned():
    """Guards the test above against masks that compare nothing."""
    masks = [GOLDEN[f"{case}/{metric}/{k[0]}_{k[1]}/ok_s"] for case, metric, k in SETTINGS]
    assert np.concatenate(masks).mean() > 0.7


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mean_scale_is_the_sum_over_the_neighbours_there_are(metric):
    source, _, query = golden_case("small_banks")  # seven references, so at most six neighbours
    for k, n_neighbours in ((3, 3), (20, 6)):
        by_sum = local_density_score(query, source, k, metric, eps=1e-300)
        by_mean = local_density_score(query, source, k, metric, scale="mean", eps=1e-300)
        np.testing.assert_allclose(by_mean, by_sum * n_neighbours, rtol=1e-12)


@pytest.mark.parametrize("match", ["nearest", "ratio"])
def test_a_sum_favours_the_source_1_6_times_and_a_mean_neither(match):
    """Two domains alike in all, each of nine clips that are equally far from each other, with K = (8, 5)."""
    source, query = np.eye(9, 18), np.zeros((1, 18))
    target = np.roll(source, 9, axis=1)
    by_sum, by_mean = (
        [local_density_score(query, bank, k, match=match, scale=scale)[0] for bank, k in ((source, 8), (target, 5))]
        for scale in ("sum", "mean")
    )
    assert by_sum[1] == pytest.approx(1.6 * by_sum[0]) and by_mean[1] == pytest.approx(by_mean[0])
    # A clip that is nearer to the target, by up to that factor, has its minimum in the source all the same.
    nearer = query + 0.1 * target.sum(axis=0)
    to_target, to_source = (local_density_score(nearer, bank, 8, match=match)[0] for bank in (target, source))
    assert to_target < to_source < 1.6 * to_target
    for scale, expected in (("sum", source), ("mean", target)):
        k = 8 if expected is source else 5
        of_domain = local_density_score(nearer, expected, k, match=match, scale=scale)
        assert domain_conditioned_score(nearer, source, target, match=match, scale=scale) == of_domain


def plain_score(query, banks, k, metric, match, scale, form):
    """The forms of the score in plain loops over clips, references and neighbours."""

    def distance(a, b):
        return np.sqrt(((a - b) ** 2).sum()) if metric == "euclidean" else 1 - a @ b / np.sqrt((a @ a) * (b @ b))

    scores = []
    for x in query:
        of_banks = []
        for bank, k_bank in zip(banks, k, strict=True):
            found = []
            for i, reference in enumerate(bank):
                others = sorted(distance(reference, other) for j, other in enumerate(bank) if j != i)[:k_bank]
                s = sum(others) / (len(others) if scale == "mean" else 1)
                d = distance(x, reference)
                found.append((d, d / s if form == "ratio" else d - s))
            of_banks.append(min(found)[1] if match == "nearest" else min(value for _, value in found))
        scores.append(min(of_banks))
    return np.array(scores)


@pytest.mark.parametrize("form", ["ratio", "difference"])
@pytest.mark.parametrize("scale", ["sum", "mean"])
@pytest.mark.parametrize("match", ["nearest", "ratio"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_form_equals_plain_loops(metric, match, scale, form):
    source, target, query = normals(14, 6), normals(5, 6, seed=1) + 1, normals(9, 6, seed=2)
    source, target, query = (x.astype(np.float64) for x in (source, target, query))
    options = {"metric": metric, "match": match, "scale": scale, "form": form}
    for k in ((8, 3), (4, 9)):
        found = domain_conditioned_score(query, source, target, k, **options)
        np.testing.assert_allclose(found, plain_score(query, [source, target], k, **options), rtol=1e-8, atol=1e-12)
    for k in (1, 5):  # K = 1 with the match `ratio` is the literature's setting
        found = domain_conditioned_score(query, source, target, k, banks="pooled", **options)
        pooled = np.concatenate([source, target])
        np.testing.assert_allclose(found, plain_score(query, [pooled], [k], **options), rtol=1e-8, atol=1e-12)
        both = domain_conditioned_score(query, source, target, (k, k), banks="pooled", **options)
        assert found.tobytes() == both.tobytes()


def test_one_number_of_neighbours_is_for_both_domains():
    source, target, query = golden_case("main")
    for k in (8, np.int64(8)):
        assert np.array_equal(
            domain_conditioned_score(query, source, target, k), domain_conditioned_score(query, source, target, (8, 8))
        )


def test_a_pooled_bank_of_one_domain_is_that_domain():
    source, target, query = golden_case("main")
    for nothing in (None, target[:0]):
        alone = domain_conditioned_score(query, source, nothing, 5, banks="pooled")
        assert np.array_equal(alone, local_density_score(query, source, 5))
    assert (domain_conditioned_score(query, source, target, 5, banks="pooled") <= alone).all()


@pytest.mark.parametrize("match", ["nearest", "ratio"])
def test_near_duplicates_keep_their_distance(match):
    """|a|^2 + |b|^2 - 2ab would return 0 or noise here."""
    bank = np.full((3, 50), 1e4)
    bank[1, 0] += 1e-6
    bank[2, 0] += 3e-6
    score = local_density_score(bank[:1] - np.eye(1, 50) * 1e-6, bank, k=1, match=match)
    assert score == pytest.approx(1.0, rel=1e-3)


def test_cosine_keeps_tiny_angles_and_ignores_lengths():
    rng = np.random.default_rng(0)
    bank, query = rng.normal(size=(30, 8)), rng.normal(size=(9, 8))
    lengths = np.geomspace(1e-200, 1e200, 30)[:, None]
    plain = local_density_score(query, bank, 4, "cosine")
    np.testing.assert_allclose(local_density_score(query, bank * lengths, 4, "cosine"), plain, rtol=1e-9)
    angle = 1e-7
    bank = np.array([[1.0, 0.0], [np.cos(2 * angle), np.sin(2 * angle)]])
    query = np.array([[np.cos(angle), -np.sin(angle)]])
    assert local_density_score(query, bank, 1, "cosine", eps=1e-30)[0] == pytest.approx(0.25, rel=1e-6)
    # A zero vector has the distance of a right angle.
    score = local_density_score([[0.0, 0.0]], [[3.0, 0.0], [0.0, 2.0]], 1, "cosine", eps=1e-30)
    assert score[0] == pytest.approx(1.0)
    assert local_density_score([[0.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]], 1, "cosine")[0] == 0.0


def test_blocks_of_many_queries_equal_one_plain_computation():
    rng = np.random.default_rng(1)
    bank, query = rng.normal(size=(700, 5)), rng.normal(size=(900, 5))
    distances, within = cdist(query, bank), cdist(bank, bank)
    scale = np.sort(within, axis=1)[:, 1:9].sum(axis=1)  # column 0 is the reference itself
    expected = distances.min(axis=1) / scale[distances.argmin(axis=1)]
    least = (distances / scale).min(axis=1)
    np.testing.assert_allclose(local_density_score(query, bank, 8), expected, rtol=1e-9)
    np.testing.assert_allclose(local_density_score(query, bank, 8, match="ratio"), least, rtol=1e-9)


def test_one_empty_bank_leaves_the_score_of_the_other():
    source, target, query = golden_case("main")
    from_source = local_density_score(query, source, 8)
    for nothing in (None, target[:0], []):
        assert np.array_equal(domain_conditioned_score(query, source, nothing), from_source)
        assert np.array_equal(domain_conditioned_score(query, nothing, source, k=(5, 8)), from_source)


def test_scores_of_clips_one_by_one_and_together_are_the_same_bytes():
    training, query = normals(150, 40), normals(23, 40, seed=1)
    for conditioner in (Conditioner(25), Conditioner(1, whiten=False), Conditioner(None), Conditioner(None, False)):
        conditioner.fit(training)
        bank, together = conditioner.transform(training), conditioner.transform(query)
        for metric in ("euclidean", "cosine"):
            for match in ("nearest", "ratio"):
                options = {"metric": metric, "match": match}
                scores = domain_conditioned_score(together, bank[:140], bank[140:], **options)
                for i in range(len(query)):
                    alone = conditioner.transform(query[i : i + 1])
                    assert alone.tobytes() == together[i].tobytes()
                    score = domain_conditioned_score(alone, bank[:140], bank[140:], **options)
                    assert score.tobytes() == scores[i : i + 1].tobytes()


@pytest.mark.parametrize("shape", [(990, 1536, 768), (37, 129, 31), (5, 3, 2)])
def test_transformed_rows_are_the_same_bytes_in_any_company(shape):
    """The real width included: matrix products through BLAS fail this."""
    n_clips, n_features, n_components = shape
    conditioner = Conditioner(n_components).fit(np.random.default_rng(0).normal(size=(n_components + 2, n_features)))
    query = np.random.default_rng(1).normal(size=(min(n_clips, 60), n_features))
    together = conditioner.transform(query)
    assert np.array_equal(conditioner.transform(query[::-1])[::-1], together)
    for size in (1, 2, 7):
        assert np.array_equal(conditioner.transform(query[:size]), together[:size])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": (8, 0)}, "K is 0"),
        ({"k": (2.5, 5)}, "K is 2.5"),
        ({"k": (8, 5, 3)}, "two numbers of neighbours"),
        ({"k": 0}, "K is 0"),
        ({"k": "8"}, "two numbers of neighbours"),
        ({"k": (8, 5), "banks": "pooled"}, "one bank of both domains has one number of neighbours: give 8"),
        ({"banks": "both"}, "use domains or pooled"),
        ({"form": "quotient"}, "use ratio or difference"),
        ({"metric": "manhattan"}, "use euclidean or cosine"),
        ({"match": "first"}, "use nearest or ratio"),
        ({"scale": "max"}, "use sum or mean"),
        ({"eps": 0}, "above 0"),
        ({"source_bank": None, "target_bank": np.zeros((0, 4))}, "at least one"),
        ({"source_bank": np.zeros((3, 5))}, "query vectors have 4 features, reference vectors 5"),
        ({"query": np.full((2, 4), np.nan)}, "row 0 .* not finite"),
        ({"query": np.zeros(4)}, "expected \\(n, d\\)"),
        ({"query": [[1.0, 2.0], [3.0]]}, "array of numbers"),
    ],
)
def test_bad_scoring_input_is_one_clear_line(change, message):
    rng = np.random.default_rng(0)
    arguments = {"query": rng.normal(size=(2, 4)), "source_bank": rng.normal(size=(9, 4)), "target_bank": None}
    with one_line_error(message):
        domain_conditioned_score(**(arguments | change))


def test_notes_say_each_reduction_of_the_neighbourhoods():
    assert neighbourhood_notes(990, 10, (16, 9)) == []
    assert neighbourhood_notes(990, 4) == ["K_t 5 -> 3: 4 target normals"]
    assert neighbourhood_notes(6, 1) == ["K_s 8 -> 5: 6 source normals", "K_t 5 -> 0: 1 target normal"]
    assert neighbourhood_notes(990, 0) == ["no target normals: scored against the source alone"]
    assert neighbourhood_notes(0, 10) == ["no source normals: scored against the target alone"]
    assert neighbourhood_notes(6, 1, 8, "pooled") == ["K 8 -> 6: 7 normals"]
    assert neighbourhood_notes(0, 1, 8, "pooled") == ["K 8 -> 0: 1 normal"]
    assert neighbourhood_notes(6, 0, 5, "pooled") == neighbourhood_notes(990, 10, 8) == []


# ---- conditioning ----------------------------------------------------------------------------------------------------


def test_whitened_normals_have_zero_mean_and_the_identity_as_covariance():
    training = normals(300, 30)
    conditioned = Conditioner(12).fit(training).transform(training)
    np.testing.assert_allclose(conditioned.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(np.cov(conditioned.T), np.eye(12), atol=1e-10)


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("standardise", [True, False])
def test_conditioner_equals_scikit_learn_up_to_the_signs_which_are_fixed(whiten, standardise):
    training, query = normals(200, 20).astype(np.float64), normals(15, 20, seed=4).astype(np.float64)
    scaler = StandardScaler(with_mean=standardise, with_std=standardise).fit(training)
    reference = PCA(9, whiten=whiten, svd_solver="full").fit(scaler.transform(training))
    expected = reference.transform(scaler.transform(query))
    conditioner = Conditioner(9, whiten, standardise).fit(training)
    np.testing.assert_allclose(np.abs(conditioner.transform(query)), np.abs(expected), rtol=1e-8, atol=1e-10)
    axes = conditioner.components_
    np.testing.assert_allclose(np.abs(axes), np.abs(reference.components_), rtol=1e-8, atol=1e-10)
    assert (axes[np.arange(9), np.abs(axes).argmax(axis=1)] > 0).all()


def test_the_fit_has_the_same_bytes_with_any_number_of_threads():
    training = np.random.default_rng(0).normal(size=(300, 400))
    fits = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            fits.append(Conditioner(200).fit(training).transform(training[:3]).tobytes())
    assert fits[0] == fits[1]


def test_without_components_it_is_the_identity_or_standardises():
    training, query = normals(50, 6), normals(4, 6, seed=2)
    identity = Conditioner(None, whiten=False).fit(training)
    assert np.array_equal(identity.transform(query), query.astype(np.float64))
    for standardising in (Conditioner(None), Conditioner(None, whiten=False, standardise=True)):
        expected = StandardScaler().fit(training.astype(np.float64)).transform(query.astype(np.float64))
        np.testing.assert_allclose(standardising.fit(training).transform(query), expected, rtol=1e-9)
    assert identity.notes == [] and identity.components_ is None and identity.n_components_ == 6


def test_the_caller_keeps_its_arrays():
    training, query = normals(50, 6).astype(np.float64), normals(4, 6, seed=2).astype(np.float64)
    before = training.tobytes(), query.tobytes()
    for conditioner in (Conditioner(3), Conditioner(None), Conditioner(None, whiten=False)):
        conditioner.fit(training).transform(query)[:] = 0
    assert (training.tobytes(), query.tobytes()) == before


def test_constant_features_and_fewer_clips_than_components_stay_finite():
    training = np.concatenate([normals(90, 200), np.full((90, 3), 0.1, np.float32)], axis=1)
    conditioner = Conditioner(768).fit(training)
    assert conditioner.notes == ["PCA 768 -> 89 components: 90 normal training clips"]
    assert conditioner.components_.shape == (89, 203) and conditioner.n_components_ == 89
    assert np.isfinite(conditioner.transform(training + 1)).all()
    standardised = Conditioner(None).fit(training).transform(training + 1)
    np.testing.assert_allclose(standardised[:, -3:], 1.0, rtol=1e-6)  # a constant feature keeps its unit


def test_notes_name_what_limits_the_components():
    assert Conditioner(768).fit(normals(300, 20)).notes == ["PCA 768 -> 20 components: 20 features"]
    copies = np.tile(normals(5, 20), (3, 1))
    assert Conditioner(768).fit(copies).notes == ["PCA 768 -> 4 components: the 15 normal training clips span no more"]
    assert Conditioner(4).fit(normals(90, 20)).notes == []
    refitted = Conditioner(768).fit(normals(10, 20)).fit(normals(12, 20))
    assert refitted.notes == ["PCA 768 -> 11 components: 12 normal training clips"]


@pytest.mark.parametrize(("clips", "counted"), [(1, "1 normal training clip "), (4, "4 normal training clips ")])
def test_equal_normal_clips_leave_out_pca_with_a_note(clips, counted):
    conditioner = Conditioner(5).fit(np.ones((clips, 3)))
    assert conditioner.notes == [f"no PCA and no whitening: {counted}with one and the same vector"]
    np.testing.assert_array_equal(conditioner.transform(np.array([[1.0, 1.0, 3.0]])), [[0.0, 0.0, 2.0]])


def zero_views(view):
    return view_matrix({"near": {"mean": np.zeros((1, 2)), "std": np.zeros((1, 2))}}, view)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: local_density_score(np.zeros((1, 3)), np.zeros((0, 3)), 1), "bank is empty"),
        (lambda: Conditioner(0), "whole number from 1"),
        (lambda: Conditioner("768"), "whole number from 1"),
        (lambda: Conditioner(None, whiten=True, standardise=False), "whitening without PCA"),
        (lambda: Conditioner(5).transform(np.zeros((1, 3))), "not fitted"),
        (lambda: Conditioner(5).fit(np.zeros((0, 3))), "there is none"),
        (lambda: Conditioner(5).fit([[1.0, np.inf], [0.0, 1.0]]), "row 0"),
        (lambda: Conditioner(5).fit(normals(9, 4)).transform(np.zeros((1, 3))), "fitted on 4"),
        (lambda: zero_views(["far"]), "needs the far channel"),
        (lambda: zero_views(["near-far"]), "needs the far channel"),
        (lambda: zero_views(["far-near"]), "'far-near' is unknown"),
        (lambda: zero_views([]), "at least one of"),
        (lambda: zero_views("near"), "give a list"),
    ],
)
def test_other_bad_input_is_one_clear_line(action, message):
    with one_line_error(message):
        action()


# ---- views -----------------------------------------------------------------------------------------------------------


def test_views_are_concatenated_in_their_order():
    near = {"mean": np.array([[1.0, 2.0]]), "std": np.array([[3.0, 4.0]]), "power": np.array([[5.0, 6.0]])}
    far = {"mean": np.array([[0.5, 0.5]]), "std": np.array([[1.0, 7.0]])}
    statistics = {"near": near, "far": far, "cancelled": far}
    assert view_matrix(statistics, ["near"]).tolist() == [[1, 2, 3, 4]]
    assert view_matrix(statistics, ["near-far", "near"]).tolist() == [[0.5, 1.5, 2, -3, 1, 2, 3, 4]]
    assert view_matrix(statistics, ["far"]).tolist() == [[0.5, 0.5, 1, 7]]
    assert view_matrix(statistics, ["cancelled", "near"], ["mean"]).tolist() == [[0.5, 0.5, 1, 2]]
    assert view_matrix(statistics, ["near"], ["power", "mean"]).tolist() == [[5, 6, 1, 2]]
    with one_line_error("statistics power: not stored"):
        view_matrix(statistics, ["far"], ["power"])
    # The difference of float32 statistics is not rounded.
    near, far = np.float32([[1.0]]), np.float32([[1e-8]])
    difference = view_matrix({"near": {"mean": near}, "far": {"mean": far}}, ["near-far"], ["mean"])
    assert difference.dtype == np.float64 and difference[0, 0] == 1.0 - np.float64(far[0, 0])
