"""Loading, freezing, adapting and saving checkpoints of every family."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from peft import PeftModel
from pydantic import TypeAdapter
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from facial_r1.config.schema import Model
from facial_r1.errors import InputError
from facial_r1.models import loading, tiny
from facial_r1.models.parts import parts
from tests.models.families import batch, picture

MakeConfig = Callable[..., Model]


def _loss(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**inputs, labels=inputs["input_ids"]).loss


def test_every_family_loads_and_generates(checkpoints: dict[str, Path], family: str, model_config: MakeConfig) -> None:
    model, processor = loading.load(model_config(family), checkpoints[family], train=False)
    inputs = batch(processor, [picture(60, 50), picture(90, 60)], ["hi", "what does this face show?"])
    output = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert output.shape[1] <= inputs["input_ids"].shape[1] + 3
    assert not model.training


def test_tiny_configuration_loads_the_shipped_weights(root: Path) -> None:
    config = TypeAdapter(Model).validate_python(yaml.safe_load((root / "conf/model/tiny.yaml").read_text()))
    model, processor = loading.load(config, train=True)
    shipped, _ = tiny()
    assert model.training and processor.image_processor.size["longest_edge"] == 112 * 112
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), shipped.parameters(), strict=True))


def test_padding_is_on_the_left_whatever_the_checkpoint_says(
    checkpoints: dict[str, Path], family: str, model_config: MakeConfig, tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoints[family], tmp_path / "right")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"padding_side": "right"}))
    processor = loading.load_processor(model_config(family), folder)
    mask = batch(processor, [picture(60, 60)] * 2, ["a", "a much longer text, much longer"])["attention_mask"]
    assert mask[0, 0] == 0 and mask[0, -1] == 1


def test_padding_check_refuses_a_processor_that_pads_on_the_right(checkpoints: dict[str, Path]) -> None:
    processor = AutoProcessor.from_pretrained(checkpoints["qwen2_5_vl"])
    processor.tokenizer.padding_side = "right"
    with pytest.raises(RuntimeError, match="pads on the right"):
        loading.assert_left_padding(processor)


def test_processor_carries_the_image_budget_into_the_saved_folder(
    checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path
) -> None:
    config = model_config("qwen2_5_vl", image_size={"mode": "budget", "min_pixels": 3136, "max_pixels": 7840})
    model, processor = loading.load(config, checkpoints["qwen2_5_vl"], train=False)
    loading.save(model, processor, tmp_path / "out")
    again = AutoProcessor.from_pretrained(tmp_path / "out")
    assert (again.image_processor.size["shortest_edge"], again.image_processor.size["longest_edge"]) == (3136, 7840)


def test_other_architecture_is_refused_naming_both(checkpoints: dict[str, Path], model_config: MakeConfig) -> None:
    with pytest.raises(InputError, match=r"architecture qwen3_vl, but model\.architecture is qwen2_5_vl"):
        loading.load(model_config("qwen2_5_vl"), checkpoints["qwen3_vl"], train=True)


def test_hub_id_that_cannot_be_reached_is_refused_with_the_fix(
    model_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"hf download nobody/nothing"):
        loading.load(model_config("qwen2_5_vl"), "nobody/nothing", train=False)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "no such directory"),
        (lambda folder: folder.mkdir(), "no config.json there, so it is no model"),
        (lambda folder: (folder.mkdir(), (folder / "adapter_config.json").write_text("{}")), "a LoRA adapter"),
    ],
    ids=["missing", "empty", "adapter"],
)
def test_folder_without_a_model_is_refused(
    model_config: MakeConfig, tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    prepare(tmp_path / "model")
    with pytest.raises(InputError, match=message):
        loading.load(model_config("qwen2_5_vl"), tmp_path / "model", train=False)


def test_weights_other_than_safetensors_are_refused(
    checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoints["qwen2_5_vl"], tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="only safetensors files are loaded"):
        loading.load(model_config("qwen2_5_vl"), folder, train=False)


def test_code_of_the_checkpoint_is_never_run(checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints["qwen2_5_vl"], tmp_path / "custom")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own_vlm", "auto_map": {"AutoConfig": "own.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('was run')")
    with pytest.raises(InputError, match="code of its own, which is never run"):
        loading.load(model_config("own_vlm"), folder, train=False)


def test_position_beyond_the_checkpoint_is_refused(checkpoints: dict[str, Path], model_config: MakeConfig) -> None:
    with pytest.raises(InputError, match=r"positions for 4096 tokens; set it to 4096"):
        loading.load(model_config("qwen2_5_vl", max_position=5000), checkpoints["qwen2_5_vl"], train=False)


def test_frozen_vision_stays_while_the_rest_learns(checkpoints: dict[str, Path], family: str, model_config: MakeConfig) -> None:
    model, processor = loading.load(model_config(family, freeze_vision=True), checkpoints[family], train=True)
    _loss(model, batch(processor, [picture(60, 60)], ["hi"])).backward()
    found = parts(model)
    assert found.vision_parameters() and all(parameter.grad is None for parameter in found.vision_parameters())
    seen = [p for name, module in found.projector.items() if "audio" not in name for p in module.parameters()]
    assert seen and all(parameter.grad is not None for parameter in seen), "a picture is shown, and no sound"


def test_frozen_projector_stays_while_the_tower_learns(
    checkpoints: dict[str, Path], family: str, model_config: MakeConfig
) -> None:
    model, processor = loading.load(model_config(family, freeze_projector=True), checkpoints[family], train=True)
    _loss(model, batch(processor, [picture(60, 60)], ["hi"])).backward()
    found = parts(model)
    assert all(parameter.grad is None for parameter in found.projector_parameters())
    assert any(parameter.grad is not None for parameter in found.vision_parameters())


def test_checkpointed_gradients_equal_the_plain_ones(checkpoints: dict[str, Path], family: str, model_config: MakeConfig) -> None:
    gradients = []
    for checkpointing in (False, True):
        config = model_config(family, gradient_checkpointing=checkpointing)
        model, processor = loading.load(config, checkpoints[family], train=True)
        _loss(model, batch(processor, [picture(60, 60)], ["hi"])).backward()
        gradients.append(model.get_input_embeddings().weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("targets", ["language", "all"])
def test_adapters_sit_where_they_are_asked_for(
    checkpoints: dict[str, Path], family: str, model_config: MakeConfig, targets: str
) -> None:
    config = model_config(family, lora={"enabled": True, "rank": 2, "alpha": 4, "targets": targets})
    model, _ = loading.load(config, checkpoints[family], train=True)
    assert isinstance(model, PeftModel)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert names and all(".lora_" in name for name in names) and not any("lm_head" in name for name in names)
    on_vision = any("visual" in name or "vision_tower" in name for name in names)
    assert on_vision == (targets == "all")


def _adapted(checkpoints: dict[str, Path], family: str, model_config: MakeConfig):
    config = model_config(family, lora={"enabled": True, "rank": 2, "alpha": 4, "targets": "all"})
    model, processor = loading.load(config, checkpoints[family], train=True)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(std=0.1)
    return model.eval(), processor


def test_saved_adapters_are_merged_into_an_ordinary_model(
    checkpoints: dict[str, Path], family: str, model_config: MakeConfig, tmp_path: Path
) -> None:
    model, processor = _adapted(checkpoints, family, model_config)
    inputs = batch(processor, [picture(60, 60)], ["hi there"])
    folder = loading.save(model, processor, tmp_path / "merged")
    plain = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(**inputs).logits, model(**inputs).logits, rtol=1e-4, atol=1e-5)


def test_saving_leaves_the_adapters_trainable(checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path) -> None:
    model, processor = _adapted(checkpoints, "qwen2_5_vl", model_config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loading.save(model, processor, tmp_path / "merged")
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_adapters_on_a_frozen_tower_are_refused(checkpoints: dict[str, Path], model_config: MakeConfig) -> None:
    config = model_config("qwen2_5_vl", freeze_vision=True, lora={"enabled": True, "targets": "all"})
    with pytest.raises(InputError, match=r"set model\.lora\.targets=language"):
        loading.load(config, checkpoints["qwen2_5_vl"], train=True)


def test_saved_folder_loads_to_the_same_model(
    checkpoints: dict[str, Path], family: str, model_config: MakeConfig, tmp_path: Path
) -> None:
    model, processor = loading.load(model_config(family), checkpoints[family], train=False)
    loading.save(model, processor, tmp_path / "saved")
    again, other = loading.load(model_config(family), tmp_path / "saved", train=False)
    inputs = batch(processor, [picture(60, 60)], ["hi"])
    assert torch.equal(inputs["input_ids"], batch(other, [picture(60, 60)], ["hi"])["input_ids"])
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, again(**inputs).logits)


@pytest.mark.parametrize("file", ["generation_config.json", "chat_template.jinja", "tokenizer.json", "config.json"])
def test_saved_folder_is_complete(checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path, file: str) -> None:
    model, processor = loading.load(model_config("qwen2_5_vl"), checkpoints["qwen2_5_vl"], train=False)
    assert (loading.save(model, processor, tmp_path / "saved") / file).is_file()


def test_failed_save_leaves_nothing_behind(
    checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = loading.load(model_config("qwen2_5_vl"), checkpoints["qwen2_5_vl"], train=False)

    def break_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(processor), "save_pretrained", break_off)
    with pytest.raises(KeyboardInterrupt):
        loading.save(model, processor, tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_fingerprint_follows_the_weights(checkpoints: dict[str, Path], model_config: MakeConfig, tmp_path: Path) -> None:
    model, processor = loading.load(model_config("qwen2_5_vl"), checkpoints["qwen2_5_vl"], train=False)
    first = loading.fingerprint(loading.save(model, processor, tmp_path / "a"))
    second = loading.fingerprint(loading.save(model, processor, tmp_path / "b"))
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    third = loading.fingerprint(loading.save(model, processor, tmp_path / "c"))
    assert first == second != third


def test_flash_attention_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"model\.attention=flash_attention_2"):
        loading.choose_attention("flash_attention_2")


@pytest.mark.parametrize(("installed", "gpu", "expected"), [(1, 1, "flash_attention_2"), (1, 0, "sdpa"), (0, 1, "sdpa")])
def test_auto_attention_takes_flash_attention_where_it_can_run(
    monkeypatch: pytest.MonkeyPatch, installed: int, gpu: int, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpu))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    assert loading.choose_attention("auto") == expected


@pytest.mark.parametrize("attention", ["auto", "sdpa", "eager"])
def test_attention_implementations_agree(checkpoints: dict[str, Path], model_config: MakeConfig, attention: str) -> None:
    outputs = []
    for name in ("sdpa", attention):
        model, processor = loading.load(
            model_config("qwen2_5_vl", attention=name), checkpoints["qwen2_5_vl"], train=False, device="cpu"
        )
        with torch.no_grad():
            outputs.append(model(**batch(processor, [picture(60, 60)], ["hi"])).logits)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("train", "lora", "gpu", "expected"),
    [
        (True, False, True, torch.float32),
        (True, True, True, torch.bfloat16),
        (False, False, True, torch.bfloat16),
        (False, False, False, torch.float32),
    ],
)
def test_auto_dtype(monkeypatch: pytest.MonkeyPatch, train: bool, lora: bool, gpu: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert loading.choose_dtype("auto", train=train, lora=lora) is expected
