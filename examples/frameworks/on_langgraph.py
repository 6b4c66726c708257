"""LangGraph: a call that waits for people is an `interrupt`; the service's signed callback resumes its thread."""

import os
import sqlite3
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition
from langgraph.types import Command, interrupt

from examples.frameworks.scripted.for_langgraph import chat  # yours: chat = init_chat_model("...")
from jit_auth.client import Client, Refused, WebhookError

jit = Client()
model = chat.bind_tools(jit.actions("openai"))


def act(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:  # begins anew each time it is resumed
    thread, told = config["configurable"]["thread_id"], []
    back: Any = {"metadata": {"thread_id": thread}, "callback_url": os.environ["CALLBACK_URL"]}
    for call in getattr(state["messages"][-1], "tool_calls", []):
        key = f"{thread}-{call['id']}"  # one for each call: it finds the same execution
        try:  # the user is your session's, never the model's
            done = jit.execute(call["name"], user="alice@example.com", params=call["args"], idempotency_key=key, **back)
            while done.open:
                interrupt({"waits": done.summary, "consent_links": done.consent_links})  # for alice's screen
                done = jit.get(done)
            told.append(ToolMessage(done.for_model(), tool_call_id=call["id"]))
        except Refused as fault:
            told.append(ToolMessage(fault.for_model(), tool_call_id=call["id"]))
    return {"messages": told}


graph = StateGraph(MessagesState).add_node("think", lambda state: {"messages": [model.invoke(state["messages"])]})
graph.add_node("tools", act).add_edge(START, "think").add_conditional_edges("think", tools_condition)
app = graph.add_edge("tools", "think").compile(SqliteSaver(sqlite3.connect("threads.db", check_same_thread=False)))


def run(thread: str, work: Any) -> None:  # begin with run("thread-1", {"messages": [("user", "Refund 40 of inv-7")]})
    end = app.invoke(work, {"configurable": {"thread_id": thread}})
    print(f"{thread}: {'waiting' if '__interrupt__' in end else end['messages'][-1].content}", flush=True)


def callback(body: bytes, headers: dict[str, str]) -> int:  # your route for CALLBACK_URL: which status to answer
    try:
        event = jit.verify_webhook(body, headers, os.environ["JIT_AUTH_CALLBACK_SECRET"])
    except WebhookError:
        return 401
    thread = event["data"]["metadata"]["thread_id"]
    state = app.get_state({"configurable": {"thread_id": thread}})
    if event["type"] not in ("execution.finished", "execution.unknown") or not state.next:  # or it came twice
        return 204
    if not state.interrupts:
        return 503  # it is not there yet: deliver it again
    run(thread, Command(resume=event["type"]))
    return 204
