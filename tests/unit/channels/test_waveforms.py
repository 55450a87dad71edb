"""The channels that models hear: options from the configuration, rows in the order of their names."""

import inspect

import numpy as np
import pytest

from workflow_lib.channels import Cancellation, cancel_far, channel_waveforms
from workflow_lib.errors import UserError

CLIP = np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32)
DEFAULT = Cancellation.from_mapping({})


def test_channels_come_in_the_order_of_their_names():
    found = channel_waveforms(CLIP, ["cancelled", "far", "near"], DEFAULT)
    assert found.shape == (3, 4000) and found.dtype == np.float32
    np.testing.assert_array_equal(found[0], cancel_far(CLIP[0], CLIP[1]).astype(np.float32))
    np.testing.assert_array_equal(found[1:], CLIP[::-1])


def test_options_reach_the_cancellation():
    options = Cancellation.from_mapping({"taps": 4, "ridge": 0, "window_samples": 512, "causal": True})
    found = channel_waveforms(CLIP, ["cancelled"], options)[0]
    np.testing.assert_array_equal(found, cancel_far(*CLIP, 4, 0, window_samples=512, causal=True).astype(np.float32))


def test_defaults_of_the_configuration_are_those_of_the_function():
    parameters = inspect.signature(cancel_far).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    assert vars(DEFAULT) == defaults


def test_a_mono_clip_has_near_only():
    np.testing.assert_array_equal(channel_waveforms(CLIP[:1], ["near"], DEFAULT), CLIP[:1])
    for name in ("far", "cancelled"):
        with pytest.raises(UserError, match=f"^channel '{name}' needs a far microphone, and the clip is mono"):
            channel_waveforms(CLIP[:1], ["near", name], DEFAULT)


def test_an_unknown_channel_names_the_nearest():
    with pytest.raises(UserError, match=r"^there is no channel 'canceled': write cancelled$"):
        channel_waveforms(CLIP, ["canceled"], DEFAULT)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"taps": 14}, "taps: 14 is not possible: write 1 to 13"),
        ({"taps": 2.0}, "taps: 2.0 is of the wrong type: write a whole number"),
        ({"taps": 8}, "the whole file: taps is even: write an odd number"),
        ({"taps": 8, "causal": False}, "the whole file: taps is even: write an odd number"),
        ({"ridge": -0.1}, "ridge: -0.1 is not possible: write 0 or more"),
        ({"window_samples": 1000}, "window_samples: 1000 is not possible: write one of: 1024, 256, 512, 2048"),
        ({"causal": "yes"}, "causal: 'yes' is of the wrong type: write true or false"),
        ({"tap": 9}, "tap: unknown key: write taps"),
    ],
)
def test_faults_of_the_configuration_are_one_line(mapping, said):
    with pytest.raises(UserError) as caught:
        Cancellation.from_mapping(mapping)
    assert str(caught.value).startswith(said) and len(str(caught.value).splitlines()) == 1
