"""The five emotion wheels as published: the labels and how they are nested. Level 1 to level 2 to level 3.

They are the wheels that OV-MER collected (Lian et al., arXiv 2410.01495, appendix); the labels are those of the wheels as they are
scored, misprints included (``disappeared`` on wheel 1), since published numbers depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_WHEEL_1 = {
    "mad": "offended: skeptical, insulated; aggressive: provoked, hostile; frustrated: annoyed, heated; anger: furious, rage; hateful: resentful, violated; let down: betrayed, disappeared; salty: bitter, not heard; humiliated: ridiculed, embarrassed",
    "disgusted": "outraged: loathing, judgmental; awful: uncomfortable, detest; grossed out: appalled, nauseated; avoiding: hesitant, repelled",
    "sad": "hurt: forgotten, disappointed; depressed: empty, undervalued; in my feelings: grief, powerless; guilty: ashamed, remorseful; tired: numb, don’t care; lonely: abandoned, left out",
    "happy": "trusting: sensitive, open; joyful: content, relieved; proud: confident, important; accepted: fulfilled, respected; enthusiastic: thrilled, passionate; optimistic: inspired, hopeful; peaceful: thankful, loving; interested: inquisitive, curious",
    "surprised": "confused: no words, thrown; excited: energetic, eager; amazed: awestruck, astonished; startled: shook, stunned",
    "scared": "fearful: threatened, terrified; insecure: inadequate, inferior; anxious: worried, overwhelmed; rejected: excluded, alienated; weak: vulnerable, worthless; nervous: panicked, uneasy",
}
_WHEEL_2 = {
    "fearful": "scared: helpless, frightened; anxious: overwhelmed, worried; insecure: inadequate, inferior; weak: worthless, insignificant; rejected: excluded, persecuted; threatened: nervous, exposed",
    "angry": "let down: betrayed, resentful; humiliated: disrespected, ridiculed; bitter: indignant, violated; mad: furious, jealous; aggressive: provoked, hostile; frustrated: infuriated, annoyed; distant: withdrawn, numb; critical: sceptical, dismissive",
    "disgusted": "disapproving: judgmental, embarrassed; disappointed: appalled, revolted; awful: nauseated, detestable; repelled: horrified, hesitant",
    "sad": "hurt: embarrassed, disappointed; depressed: inferior, empty; guilty: remorseful, ashamed; despair: powerless, grief; vulnerable: fragile, victimised; lonely: abandoned, isolated",
    "surprised": "startled: shocked, dismayed; confused: disillusioned, perplexed; amazed: astonished, awe; excited: eager, energetic",
    "happy": "playful: aroused, cheeky; content: free, joyful; interested: curious, inquisitive; proud: successful, confident; accepted: respected, valued; powerful: courageous, creative; peaceful: loving, thankful; trusting: sensitive, intimate; optimistic: hopeful, inspired",
    "bad": "bored: indifferent, apathetic; busy: pressured, rushed; stressed: overwhelmed, out of control; tired: sleepy, unfocused",
}
_WHEEL_3 = {
    "mad": "hurt: distant; hostile: sarcastic; angry: frustrated; selfish: jealous; hateful: irritated; critical: skeptical",
    "scared": "confused: bewildered; rejected: discouraged; helpless: insignificant; submissive: inadequate; insecure: embarrassed; anxious: overwhelmed",
    "joyful": "excited: daring; sensuous: fascinating; energetic: stimulating; cheerful: amused; creative: playful; hopeful: optimistic",
    "powerful": "aware: surprised; proud: successful; respected: worthwhile; appreciated: valuable; important: discerning; faithful: confident",
    "peaceful": "content: relaxed; thoughtful: pensive; intimate: responsive; loving: serene; trusting: secure; nurturing: thankful",
    "sad": "guilty: remorseful; ashamed: stupid; depressed: inferior; lonely: isolated; bored: apathetic; tired: sleepy",
}
_WHEEL_4 = {
    "joy": "connected: noticed; present: grounded; calm: grateful; intimate: tender; safe: belonging; care: love; silly: satisfied; acceptance: relief",
    "genius": "attentive: passionate; interested: curious; in awe: proud; embodied: brave; focused: in flow; creative: manic; confident: queer; challenged: motivate",
    "anger": "protective: loyal; irritated: frustrated; skeptical: tense; suspicious: envious; defensive: closed off; mad: furious; aggressive: violent; resentful: hateful",
    "sad": "lost: heavy; lonely: isolated; unmotivated: burnt out; bored: numb; tired: exhausted; loss: heartbroken; disappointed: depressed; misunderstood: hurt",
    "fear": "insignificant: imposter syndrome; busy: overwhelmed; threatened: terrified; surprised: dysphoric; stressed: fixated; worried: anxious; insecure: unsafe; fragile: vulnerable",
    "disgust": "self-conscious: unsettled; avoidance: awful; uncomfortable: nauseous; guilty: complicit; not good enough: ashamed; jealous: judgmental; embarrassed: humiliated; pity: aversion",
}
_WHEEL_5 = {
    "mad": "hurt: jealous; hostile: selfish; angry: frustrated; rage: furious; hateful: irritated; critical: skeptical",
    "scared": "rejected: bewildered; confused: discouraged; helpless: insignificant; submissive: weak; insecure: foolish; anxious: embarrassed",
    "sad": "sleepy: apathetic; bored: inferior; lonely: inadequate; depressed: miserable; ashamed: stupid; guilty: bashful",
    "peaceful": "nurturing: thankful; trusting: sentimental; loving: serene; intimate: responsive; thoughtful: relaxed; content: pensive",
    "powerful": "proud: cheerful; respected: satisfied; appreciated: valuable; hopeful: worthwhile; important: intelligent; faithful: confident",
    "joyful": "excited: daring; vibrant: fascinating; energetic: stimulating; playful: amused; creative: creative; aware: delightful",
}


def _nested(compact: Mapping[str, str]) -> dict[str, dict[str, tuple[str, ...]]]:
    tree: dict[str, dict[str, tuple[str, ...]]] = {}
    for top, branches in compact.items():
        pairs = (branch.split(": ") for branch in branches.split("; "))
        tree[top] = {middle: tuple(leaves.split(", ")) for middle, leaves in pairs}
    return tree


TREES: tuple[Mapping[str, Mapping[str, Sequence[str]]], ...] = tuple(
    _nested(wheel) for wheel in (_WHEEL_1, _WHEEL_2, _WHEEL_3, _WHEEL_4, _WHEEL_5)
)
"""Wheel 1 to 5."""
