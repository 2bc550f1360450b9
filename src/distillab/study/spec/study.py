"""StudySpec: a study file, validated and in canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator, model_validator

from distillab.canonical import JsonObject, spec_id
from distillab.config import PublicConfig
from distillab.errors import RequestError, read_each, unknown_name, validation_error
from distillab.factors import Factor, factors, parse_factors
from distillab.methods import MethodSpec, parse_method
from distillab.models.ensemble import SOFTMAX_COMBINES
from distillab.models.object_files import located, portable
from distillab.sources import Source, parse_source
from distillab.spelling import canonical_keys
from distillab.study.spec.bounds import check_run_count
from distillab.study.spec.contrasts import with_known_contrasts
from distillab.study.spec.draws import SHARED_DRAWS, Draws, SeedTurns
from distillab.study.spec.environment import expand_environment
from distillab.study.spec.evidence import PLAIN, EvidenceSpec
from distillab.study.spec.explain import ExplainSpec
from distillab.study.spec.forms import (
    american_recipe,
    american_source,
    american_student,
    american_teacher,
    canonical_factor,
    canonical_recipe,
    leave_out,
    with_paths,
)
from distillab.study.spec.method_entries import american_method, canonical_method, placed_method
from distillab.study.spec.seeds import SeedRange, read_seeds
from distillab.study.spec.starting import with_started_students
from distillab.study.spec.storage_budget import CurvesSpec
from distillab.study.spec.student import StudentEntry, read_entry, student_entry
from distillab.study.spec.student_methods import check_students
from distillab.study.spec.study_yaml import read_study_yaml
from distillab.study.spec.teacher import YOUNG_TEACHER_KEYS, TeacherSpec
from distillab.study.spec.tuning import TuneSpec
from distillab.tasks import Classification, Task, parse_task
from distillab.training.recipe import Recipe

DEFAULT_TASK = Classification.name


class StudySpec(PublicConfig):
    """A study: data, teacher, students, methods, factors, seeds and recipe. See ``docs/studies.md``.

    Attributes:
        study: Name of the study.
        notes: Free text.
        task: What networks are trained to predict: the name of a task, or a mapping with its settings.
        data: The data source and its keys.
        others: Further datasets by name, for factors that take examples from elsewhere.
        teacher: The teacher.
        students: The networks of the students, those that start from trained weights with their keys.
        methods: The methods. The plain student (method ``ce``) is always among them.
        factors: For each factor its levels, or a mapping of ``levels`` and settings.
        seeds: Seeds of the replicates: their number, a list, or a :class:`SeedRange`. A seed decides
            everything that is random in a replicate: subsets, noise, initial weights, order, views, the
            train/val split.
        seed: Seed of the study, which decides the ``full`` teachers, and what seeds share.
        draws: Whether views and the train/val split are drawn by seed or shared. They are shared by default
            if the order is.
        order: ``seed`` if each replicate goes through the examples in an order of its own, ``shared`` if all
            do so in the same order.
        threads: Compute threads of a worker.
        recipe: How networks are trained.
        curves: What is kept of networks while they train.
        evidence: How conclusions are drawn.
        explain: Which attribution maps are computed once networks are trained; None for none.
        tune: The settings that are tried for every method before methods are compared; None for none.

    Raises:
        ValueError: A key or value is not accepted.

    Example:
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits"}, teacher={"model": "resnet14"}, students="resnet8",
        ...     methods=["kd"], factors={"size": [10, 50]}, seeds=3,
        ... )
        >>> spec.seed_list, [str(method) for method in spec.method_specs()]
        ((0, 1, 2), ['ce', 'kd'])
    """

    study: str = Field(min_length=1)
    notes: str = ""
    task: str | JsonObject = DEFAULT_TASK
    data: JsonObject
    others: Mapping[str, JsonObject] = Field(default_factory=dict)
    teacher: TeacherSpec
    students: tuple[str | StudentEntry, ...] = Field(min_length=1)
    methods: tuple[str | JsonObject, ...] = Field(min_length=1)
    factors: JsonObject = Field(default_factory=dict)
    seeds: tuple[int, ...] | SeedRange = tuple(range(10))
    seed: int = 0
    draws: Draws = Draws()
    order: Literal["seed", "shared"] = "seed"
    threads: int | Literal["auto"] = "auto"
    recipe: Recipe = Recipe()
    curves: CurvesSpec = CurvesSpec()
    evidence: EvidenceSpec = EvidenceSpec()
    explain: ExplainSpec | None = None
    tune: TuneSpec | None = None
    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _where: str = PrivateAttr(default="study")

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, values: Any) -> Any:
        """Write out the students of methods with a start, and let seeds that share their order share views
        and split as well, unless ``draws`` is stated."""
        values = with_started_students(values) if isinstance(values, Mapping) else values
        if isinstance(values, Mapping) and values.get("order") == "shared" and "draws" not in values:
            return {**values, "draws": SHARED_DRAWS}
        return values

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_list_or_range(cls, value: Any) -> Any:
        return read_seeds(value)

    @field_validator("teacher", mode="before")
    @classmethod
    def _canonical_teacher(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("recipe"), Mapping):
            return value
        try:
            return {**value, "recipe": canonical_recipe(value["recipe"])}
        except ValueError as error:
            raise RequestError(str(error), where="recipe") from error

    @field_validator("methods", mode="before")
    @classmethod
    def _canonical_methods(cls, value: Any) -> Any:
        return [canonical_method(entry) for entry in value] if isinstance(value, list | tuple) else value

    @field_validator("factors", mode="before")
    @classmethod
    def _canonical_factors(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        named = canonical_keys(value, frozenset(factors))
        return {name: canonical_factor(str(name), entry) for name, entry in named.items()}

    @field_validator("task", mode="before")
    @classmethod
    def _whole_task(cls, value: Any) -> Any:
        """Return a task with all its settings, and one without settings as its name."""
        written = parse_task(value, "").as_dict()
        return written if len(written) > 1 else written["name"]

    @field_validator("threads")
    @classmethod
    def _at_least_one_thread(cls, value: Any) -> Any:
        if value != "auto" and value < 1:
            raise ValueError("threads must be at least 1, or auto")
        return value

    @field_validator("students", mode="before")
    @classmethod
    def _one_student(cls, value: Any) -> Any:
        return read_each(value, read_entry) if isinstance(value, list | tuple) else [read_entry(value)]

    @field_validator("students")
    @classmethod
    def _each_student_once(cls, value: tuple[str | StudentEntry, ...]) -> tuple[str | StudentEntry, ...]:
        labels = [student_entry(each).label for each in value]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"{label} is named twice: students need different names (key `name`)")
        return value

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: tuple[int, ...] | SeedRange) -> tuple[int, ...] | SeedRange:
        if not isinstance(value, SeedRange) and (len(set(value)) != len(value) or not value):
            raise ValueError("name each once, and at least one")
        return value

    @model_validator(mode="after")
    def _softmax_needs_classification(self) -> StudySpec:
        softmax = DEFAULT_TASK in self.task_config().kinds()
        if not softmax and self.teacher.combine in SOFTMAX_COMBINES:
            raise ValueError(f"combine: {self.teacher.combine} needs softmax probabilities: use mean or best")
        if not softmax and self.teacher.outputs.top_k is not None:
            raise ValueError("outputs.top_k stores softmax probabilities: leave it out for this task")
        return self

    @property
    def student_entries(self) -> tuple[StudentEntry, ...]:
        """The students, each with what it starts from; paths of weights are absolute."""
        return tuple(student_entry(each).placed(self._base) for each in self.students)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds of the replicates; for a range, all that may be needed."""
        return tuple(range(self.seeds.max)) if isinstance(self.seeds, SeedRange) else self.seeds

    @property
    def has_shared_views(self) -> bool:
        """True if all seeds have the same views, of which there are more than the examples themselves."""
        return self.draws.views == "shared" and self.recipe.views != "none"

    @property
    def turns(self) -> SeedTurns:
        """Which teacher and which split each seed has."""
        replicates, full = self.teacher.replicates, "full" in self.teacher.provenance
        return SeedTurns(self.seed_list, replicates if full else "each", self.draws.split)

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds at the interim analyses of sequential stopping; empty without it."""
        return self.seeds.looks if isinstance(self.seeds, SeedRange) else ()

    @property
    def worker_threads(self) -> int:
        """Compute threads of a worker; ``auto`` is one, since threads would wait for each other."""
        return 1 if self.threads == "auto" else self.threads

    @property
    def where(self) -> str:
        """The name of the file that the study was read from, for messages."""
        return self._where

    @property
    def base(self) -> Path:
        """The folder that relative paths start at."""
        return self._base

    def task_config(self) -> Task:
        """Return the task: what networks are trained to predict."""
        return parse_task(self.task)

    def source(self) -> Source:
        """Return the data source. Raises RequestError."""
        return parse_source(dict(self.data), self._base, "data")

    def other_sources(self) -> dict[str, Source]:
        """Return the sources of the other datasets, by name. Raises RequestError."""
        return {
            name: parse_source(dict(entry), self._base, f"others.{name}")
            for name, entry in self.others.items()
        }

    def factor_levels(self) -> list[list[Factor]]:
        """Return, for each factor in written order, one instance per level. Raises RequestError."""
        return parse_factors(self.factors, "factors", self._base)

    def method_specs(self) -> list[MethodSpec]:
        """Return the methods, the plain student first. Raises RequestError."""
        specs = [parse_method(entry, "methods", self._base) for entry in self.methods]
        if all(spec.label != PLAIN for spec in specs):
            specs.insert(0, parse_method(PLAIN, "methods"))
        specs.sort(key=lambda spec: spec.label != PLAIN)
        labels = [spec.label for spec in specs]
        for label in labels:
            if labels.count(label) > 1:
                raise RequestError(f"method {label!r} is named twice", where="methods")
        unknown = [name for name in self.evidence.baselines if name not in labels]
        if unknown:
            raise RequestError(
                f"baseline {unknown[0]!r} is not among the methods",
                where="evidence.baselines",
                allowed=", ".join(labels),
            )
        if unprobed := [name for name in self.evidence.probed_methods if name not in labels]:
            raise unknown_name("method", unprobed[0], labels, where="evidence.probed_methods")
        return self.tune.checked(specs) if self.tune else specs

    def teacher_recipe(self, provenance: str) -> Recipe:
        """Return the recipe of the teachers of a provenance. Raises RequestError."""
        own = self.teacher.recipe_keys(provenance)
        merged = self.recipe.model_dump(exclude_unset=True)
        if {"epochs", "steps"} & own.keys():
            merged = {key: value for key, value in merged.items() if key not in ("epochs", "steps")}
        try:
            return Recipe.model_validate({**merged, **own})
        except ValidationError as error:
            raise validation_error(error, "teacher.recipe", Recipe.model_fields) from error

    def weights_path(self, number: int = 0) -> Path | None:
        """Return the path of the weights of one of the external teachers, or None."""
        files = self.teacher.files
        return located(self._base / files[number]) if files else None

    def written(self) -> JsonObject:
        """Return :meth:`canonical` with keys in American spelling, as ``DIR/study.yaml`` contains it."""
        values = dict(self.canonical())
        others = {
            name: american_source(source, source.entry()) for name, source in self.other_sources().items()
        }
        if others:
            values["others"] = others
        return values | {
            "draws": self.draws.model_dump(mode="json"),
            "data": american_source(self.source(), values["data"]),
            "teacher": american_teacher(values["teacher"]),
            "students": [american_student(entry) for entry in values["students"]],
            "methods": [american_method(entry) for entry in values["methods"]],
            "recipe": american_recipe(values["recipe"]),
        }

    def canonical(self) -> JsonObject:
        """Return plain values in canonical spelling, with all defaults and absolute paths."""
        values = self.model_dump(mode="json")
        values["data"] = self.source().entry()
        values["others"] = {name: source.entry() for name, source in self.other_sources().items()}
        values["factors"] = {
            levels[0].name: with_paths(self.factors[levels[0].name], levels[0])
            for levels in self.factor_levels()
        }
        values["methods"] = [placed_method(entry, self._base) for entry in values["methods"]]
        values["students"] = [entry.written for entry in self.student_entries]
        leave_out(values, self, ("task", "order", "threads", "others", "curves", "explain", "tune"))
        leave_out(values["recipe"], self.recipe, ("memory_format", "compile", "sampler"))
        if self.tune:
            leave_out(values["tune"], self.tune, ("finalists",))
        leave_out(values["teacher"], self.teacher, YOUNG_TEACHER_KEYS)
        if self.draws == SHARED_DRAWS:  # as in all studies before the key
            del values["draws"]
        if self.teacher.models:
            del values["teacher"]["model"]
        if files := [str(self.weights_path(number)) for number in range(len(self.teacher.files))]:
            values["teacher"]["weights"] = files if len(files) > 1 else files[0]
        return values

    @property
    def identity(self) -> str:
        """Content address of all that can change a number: files with the same identity are one study."""
        unrelated = ("study", "notes", "curves", "evidence", "explain")
        return spec_id(portable({k: v for k, v in self.canonical().items() if k not in unrelated}))


def parse_study(values: Any, base: Path, where: str) -> StudySpec:
    """Return the study that plain values describe.

    Args:
        values: The content of a study file.
        base: The folder that relative paths start at.
        where: The name of the file, for error messages.

    Raises:
        RequestError: A key or value is not accepted; it names the file and the key.

    Example:
        >>> parse_study({"study": "tiny"}, Path.cwd(), "tiny.yaml")
        Traceback (most recent call last):
        distillab.errors.RequestError: tiny.yaml: key 'data' is missing
    """
    if not isinstance(values, Mapping):
        raise RequestError("a study is a mapping of keys to values", where=where)
    try:
        spec = StudySpec.model_validate(dict(values))
    except ValidationError as error:
        raise validation_error(error, "", _known_keys()).within(where) from error
    spec._base, spec._where = base, where
    try:
        spec.source(), spec.other_sources()
        check_run_count(spec)
        spec = with_known_contrasts(spec)
        check_students(spec)
        for provenance in spec.teacher.provenance:
            spec.teacher_recipe(provenance)
    except RequestError as error:
        raise error.within(where) from error
    return spec


def _known_keys() -> list[str]:
    """Return the keys of a study file, nested ones with a dot."""
    nested: dict[str, type[BaseModel]] = {"recipe": Recipe, "teacher": TeacherSpec, "tune": TuneSpec}
    nested |= {"curves": CurvesSpec, "evidence": EvidenceSpec, "explain": ExplainSpec, "draws": Draws}
    inner = [f"{name}.{key}" for name, model in nested.items() for key in model.model_fields]
    return [*StudySpec.model_fields, *inner]


def read_study(path: Path, *, stored: bool = False) -> StudySpec:
    """Return the study of a file.

    Args:
        path: A YAML file. ``${NAME}`` in a text stands for an environment variable.
        stored: Whether a study has written it, with variables replaced.

    Raises:
        RequestError: The file is missing, not YAML, or not a study.

    Example:
        >>> read_study(Path("missing.yaml"))
        Traceback (most recent call last):
        distillab.errors.RequestError: missing.yaml: cannot read the study file (No such file or directory)
    """
    written = read_study_yaml(path)
    values = written if stored else expand_environment(written, str(path))
    return parse_study(values, path.resolve().parent, str(path))
