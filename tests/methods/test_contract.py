"""What every registered method promises, on a covering choice of architectures.

`tests/methods/cases.py` has the cases, `tests/methods/covering.py` says what is chosen, the mark
`shows` what a test has to see; with `--matrix`, as `make test-matrix` has it, the tests run on the
full product.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from finegrid.models.head import head_parameters
from methods.parameters import (
    count_trainable,
    delta_state,
    load_trainable,
    trainable_state,
)
from methods.registry import training_methods
from tests.methods.architectures import TINY, anatomy, inputs, labels, logits, tiny
from tests.methods.cases import (
    CHECKPOINTED,
    FITTING,
    MATRIX,
    ROUNDED_MERGES,
    SETTINGS,
    STAND_INS,
    Case,
    gradients_of,
    train,
)
from tests.methods.covering import graded


def frozen_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of everything that no training may change, buffers included."""
    state = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    return state | {n: b.clone() for n, b in model.named_buffers()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its cases: the covering ones, or with `--matrix` all."""
    if "case" not in metafunc.fixturenames:
        return
    about = metafunc.definition.get_closest_marker("cases")
    wanted: tuple[Case, ...] = about.args[0] if about else FITTING
    shown = metafunc.definition.get_closest_marker("shows")
    what = shown.args if shown else ("storage", "properties")
    is_whole = metafunc.config.getoption("matrix")
    chosen = graded(metafunc.function.__name__, wanted, what, is_whole=is_whole)
    metafunc.parametrize("case", chosen, ids=str)


def test_every_method_fits_some_architecture() -> None:
    assert {case.name for case in FITTING} == set(training_methods())
    assert set(SETTINGS) | set(STAND_INS) | set(ROUNDED_MERGES) <= set(training_methods())


def test_every_settings_fit_some_architecture() -> None:
    fitting = [(case.name, case.settings) for case in FITTING]
    assert all((case.name, case.settings) in fitting for case in MATRIX)


@pytest.mark.cases(tuple(case for case in MATRIX if case.reason is not None))
def test_a_reason_not_to_apply_is_true(case: Case) -> None:
    assert case.reason
    with pytest.raises(ValueError, match=r"the model has no|attention"):
        case.applied()


@pytest.mark.shows("method")
def test_settings_of_the_tests_are_in_range(case: Case) -> None:
    assert list(case.method.problems(anatomy(case.model_type))) == []


def test_closed_form_equals_the_live_count(case: Case) -> None:
    expected = case.method.expected_parameters(tiny(case.model_type))
    live = sum(p.numel() for p in case.applied().parameters() if p.requires_grad)
    assert live == expected > 0


@pytest.mark.shows("method")
def test_closed_form_needs_shapes_alone(case: Case) -> None:
    with torch.device("meta"):
        model = TINY[case.model_type]()
    assert all(p.is_meta for p in model.parameters())
    expected = case.method.expected_parameters(tiny(case.model_type))
    assert case.method.expected_parameters(model) == expected


def test_categories_sum_up_and_the_head_is_trained(case: Case) -> None:
    plain, model = tiny(case.model_type), case.applied()
    base_names = frozenset(name for name, _ in plain.named_parameters())
    counts = count_trainable(model, base_names)
    head = sum(parameter.numel() for parameter in head_parameters(plain))
    assert counts["head"] == head > 0
    assert sum(counts.values()) == case.method.expected_parameters(plain)
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    added = [p for n, p in trained if n not in base_names]
    assert counts["adapter"] == sum(p.numel() for p in added)


@torch.no_grad()
def test_function_at_the_start(case: Case) -> None:
    plain, applied = tiny(case.model_type), case.applied()
    difference = (logits(applied, case.model_type) - logits(plain, case.model_type)).abs().max()
    assert (difference == 0) == case.method.identity_at_start


@pytest.mark.shows("method")
def test_the_generator_alone_decides_the_start(case: Case) -> None:
    torch.manual_seed(11)
    first = trainable_state(case.applied(seed=5))
    torch.manual_seed(12)
    second = trainable_state(case.applied(seed=5))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.shows("method")
def test_another_seed_changes_what_is_drawn(case: Case) -> None:
    first, second = (delta_state(case.applied(seed=seed)) for seed in (5, 6))
    same = all(torch.equal(first[name], second[name]) for name in first)
    assert same != case.method.draws


@pytest.mark.shows("method", "properties")
def test_every_trained_tensor_learns_after_an_evaluation(case: Case) -> None:
    model = case.applied()
    with torch.no_grad():
        logits(model, case.model_type)
    trainable = set(trainable_state(model))
    late = train(model, case.model_type, 3)[1:]
    silent = {n for n in trainable if not any(n in g and g[n].any() for g in late)}
    assert not silent
    assert {name for step in late for name in step} == trainable


def test_training_changes_what_is_trained_and_nothing_else(case: Case) -> None:
    model = case.applied()
    frozen = frozen_state(model)
    start = {name: tensor.clone() for name, tensor in trainable_state(model).items()}
    train(model.train(), case.model_type, 3)
    after = frozen_state(model)
    assert after.keys() == frozen.keys()
    assert [name for name in frozen if not torch.equal(frozen[name], after[name])] == []
    end = trainable_state(model)
    assert [name for name in start if torch.equal(start[name], end[name])] == []


def test_merging(case: Case) -> None:
    """In double precision, where rounding hides nothing."""
    model, method = case.trained().double(), case.method
    before = logits(model, case.model_type)
    if not method.mergeable:
        with pytest.raises(NotImplementedError):
            method.merge(model)
        return
    method.merge(model)
    plain = tiny(case.model_type).double()
    assert [name for name, _ in model.named_parameters()] == [
        n for n, _ in plain.named_parameters()
    ]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    after = logits(model, case.model_type)
    tolerance = ROUNDED_MERGES.get(case.name, 1e-9)
    torch.testing.assert_close(after, before, atol=tolerance, rtol=0)
    assert (after - logits(plain, case.model_type)).abs().max() > 1e-3


@pytest.mark.shows("method")
def test_finishing_keeps_the_function(case: Case) -> None:
    model = case.trained()
    before = logits(model, case.model_type)
    case.method.finish(model)
    torch.testing.assert_close(logits(model, case.model_type), before, atol=1e-6, rtol=0)
    stored = sum(tensor.numel() for tensor in trainable_state(model).values())
    assert stored <= case.method.expected_parameters(tiny(case.model_type))


@pytest.mark.shows("method")
def test_saved_and_loaded_gives_the_same_outputs(case: Case, tmp_path: Path) -> None:
    model = case.trained()
    delta = delta_state(model)
    save_file(delta, tmp_path / "delta.safetensors")
    constants = delta.keys() - trainable_state(model).keys()
    assert all(delta[name].shape == () for name in constants)  # seeds that draw the rest
    fresh = case.applied(seed=8)
    expected = logits(model, case.model_type)
    assert not torch.equal(logits(fresh, case.model_type), expected)
    odd = fresh.load_state_dict(load_file(tmp_path / "delta.safetensors"), strict=False)
    assert odd.unexpected_keys == []
    assert torch.equal(logits(fresh, case.model_type), expected)


@pytest.mark.shows("method")
def test_a_state_that_does_not_fit_is_refused(case: Case) -> None:
    model = case.applied()
    state = {name: tensor.clone() for name, tensor in trainable_state(model).items()}
    name = next(iter(state))
    missing = {other: tensor for other, tensor in state.items() if other != name}
    with pytest.raises(ValueError, match=name):
        load_trainable(model, missing)
    with pytest.raises(ValueError, match="unknown"):
        load_trainable(model, state | {"unknown": torch.zeros(1)})
    with pytest.raises(ValueError, match="shape"):
        load_trainable(model, state | {name: state[name][:1, None]})


@pytest.mark.shows("method")
def test_applying_twice_is_refused_where_something_is_added(case: Case) -> None:
    model = case.applied()
    names = {name for name, _ in model.named_parameters()}
    adds = names - {name for name, _ in tiny(case.model_type).named_parameters()}
    if adds:
        with pytest.raises(ValueError, match="apply a method once"):
            case.method.apply(model, torch.Generator())
    else:
        case.method.apply(model, torch.Generator())
        assert {name for name, _ in model.named_parameters()} == names


@pytest.mark.shows("method", "properties")
def test_padding_changes_nothing(case: Case) -> None:
    """A row alone, without its padding, gives what it gives in the batch."""
    model, batch = case.trained(), inputs(case.model_type)
    together = logits(model, case.model_type)
    mask = batch.get("attention_mask", torch.ones(len(together), 1))
    for row, length in enumerate(mask.sum(dim=1).int().tolist()):
        cut = slice(length) if "attention_mask" in batch else slice(None)
        alone = model(**{key: rows[row : row + 1, cut] for key, rows in batch.items()}).logits
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


@pytest.mark.shows("method", "properties")
def test_bf16_is_finite_and_has_gradients(case: Case) -> None:
    model = case.trained()
    with torch.autocast("cpu", torch.bfloat16):
        output = logits(model, case.model_type).float()
    functional.cross_entropy(output, labels()).backward()  # type: ignore[no-untyped-call]
    assert output.isfinite().all()
    assert not torch.equal(output, logits(model, case.model_type))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@pytest.mark.shows("method", "properties")
@pytest.mark.cases(tuple(case for case in FITTING if case.model_type in CHECKPOINTED))
def test_gradient_checkpointing_changes_no_gradient(case: Case) -> None:
    """In training mode, where checkpoints work; the same seed draws the same dropout."""
    model, found = case.trained().train(), []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        torch.manual_seed(4)
        found.append(gradients_of(model, case.model_type))
    assert found[0].keys() == found[1].keys() == trainable_state(model).keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-5)
